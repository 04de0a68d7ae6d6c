# What the image is built from where the Internet is out of reach: base image, package index, an authority, proxies.
# Sourced by setup.sh.
# shellcheck shell=bash

readonly BUILD_KEYS="BASE_IMAGE PIP_INDEX_URL BUILD_CA" # in .env, and arguments of the build
readonly LARGEST_CA=65536 # bytes; Linux gives no command an argument or variable above 128 KiB, and base64 adds a third

build_ca= # --build-ca

take_build_settings() { # of the environment, else of .env
  local key
  for key in $BUILD_KEYS; do
    printf -v "$key" '%s' "${!key:-$(setting "$key")}"
    export "${key?}" # to compose; PIP_INDEX_URL is also what pip on this machine reads
  done
}

take_build_ca() {
  if [[ -z $build_ca ]]; then return; fi
  if ! grep -q -e '-----BEGIN CERTIFICATE-----' "$build_ca" 2>/dev/null; then
    fail 2 "--build-ca $build_ca cannot be used" "there is no such file, or it holds no certificate (PEM)" "ls -l $build_ca"
  elif (($(wc -c <"$build_ca") > LARGEST_CA)); then
    fail 2 "--build-ca $build_ca cannot be used" "it is larger than 64 KiB: it becomes an argument of the build" \
      "a file with the certificate of that one authority"
  fi
  BUILD_CA=$(base64 <"$build_ca" | tr -d '\n')
  PIP_CERT=$(cd "$(dirname "$build_ca")" && pwd)/$(basename "$build_ca") # for pip on this machine
  export PIP_CERT
  unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE # requests, in pip, takes these before what pip tells it (psf/requests#3829)
}

found_options() {
  local key
  FOUND="the image is made from ${BASE_IMAGE:-python:3.13-slim}, its packages from $(index)"
  TODO="keep in .env what the image is made from: ${BASE_IMAGE:-python:3.13-slim}, packages from $(index)"
  for key in $BUILD_KEYS; do
    [[ ${!key} == "$(setting "$key")" ]] || return 1
  done
}

index() { printf '%s\n' "${PIP_INDEX_URL:-PyPI}" | without_password; }

do_options() { grep -E '^((WORKER_|MONITOR_)?BROKER_URL|BROKER_CA|BROKER_TLS_NAME)=' .env | write_env; }

build_lines() { # for .env
  local key
  for key in $BUILD_KEYS; do
    if [[ -n ${!key:-} ]]; then printf '%s=%s\n' "$key" "${!key}"; fi
  done
}

# By name alone: a value may hold a password, and could be read in `ps`.
proxy_arguments() {
  local name
  for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    if [[ -n ${!name:-} ]]; then printf -- '--build-arg\n%s\n' "$name"; fi
  done
}
