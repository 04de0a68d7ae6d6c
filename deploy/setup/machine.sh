# The machine: its system, Python, RabbitMQ, the Docker engine, Compose. Sourced by setup.sh.
# shellcheck shell=bash

as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  elif [[ $interactive == yes ]]; then
    sudo "$@" # asks on the terminal, whatever standard input is
  else
    sudo -n "$@"
  fi
}

on_macos() { [[ $(uname -s) == Darwin ]]; }

has() { command -v "$1" >/dev/null 2>&1; }

describe_machine() {
  local name
  name=$(uname -s)
  if [[ -r /etc/os-release ]]; then name=$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\).*/\1/p' /etc/os-release); fi
  printf '%s, package manager %s, %s\n' "$name" "$(package_manager)" "$(service_manager)"
}

# --- Python ---

found_python() {
  local python
  TODO="install Python 3.11 or newer with its venv module ($(package_manager))"
  if [[ -x .venv/bin/python ]]; then
    FOUND=$(.venv/bin/python -V) || return 1
    FOUND="$FOUND is in .venv"
    return
  fi
  python=$(deploy/setup/venv.sh --find) || return 1
  FOUND="$("$python" -V) makes virtual environments"
}

do_python() {
  # shellcheck disable=SC2046 # names of packages
  install_packages $(packages_of python)
  if ! found_python; then
    fail 69 "no Python 3.11 or newer" "this system's packages hold an older one: $(python3 -V 2>&1 || true)" \
      "install a newer Python, then ./setup.sh again" no-python
  fi
}

# --- RabbitMQ ---

broker_answers() { (exec 3<>/dev/tcp/127.0.0.1/5672) 2>/dev/null; }

broker_is_ready() { broker_answers && rabbitmq ctl await_startup >/dev/null 2>&1; }

# rabbitmq ctl|plugins ARGUMENTS...: on Linux these commands are for root alone.
rabbitmq() {
  local command=rabbitmq-$1
  if [[ $1 == ctl ]]; then command=rabbitmqctl; fi
  shift
  as_owner "$command" --quiet "$@"
}

as_owner() { if on_macos; then "$@"; else as_root "$@"; fi; } # who runs the broker

found_rabbitmq() {
  TODO="install RabbitMQ ($(package_manager)) and start it"
  if ! has rabbitmqctl; then
    if broker_answers; then
      fail 69 "RabbitMQ cannot be set up" "something answers on port 5672, but there is no rabbitmqctl here to make users with" \
        "./setup.sh --broker amqp://USER@HOST:5672/VHOST, with a user and a virtual host that you make there" another-broker
    fi
    return 1
  fi
  TODO="start RabbitMQ: $(start_command rabbitmq)"
  FOUND="RabbitMQ answers on port 5672"
  broker_answers
}

do_rabbitmq() {
  if ! has rabbitmqctl; then
    # shellcheck disable=SC2046 # names of packages
    install_packages $(packages_of rabbitmq)
  fi
  if ! wait_for 5 broker_is_ready; then
    say "starting RabbitMQ: $(start_command rabbitmq)"
    start_service rabbitmq
    record "service RabbitMQ"
  fi
  if ! wait_for 60 broker_is_ready; then
    fail 69 "RabbitMQ does not answer" "it was started 60 s ago" "sudo tail /var/log/rabbitmq/*.log" no-broker
  fi
}

# --- Docker ---

docker_answers() { docker info >/dev/null 2>&1; }

found_docker() {
  TODO="install the Docker engine ($(package_manager)) and start it"
  if ! has docker; then return 1; fi
  TODO="start the Docker engine: $(start_command docker)"
  if docker_answers; then
    FOUND="the Docker engine answers ($(docker version --format '{{.Server.Version}}'))"
    return
  fi
  refuse_denied_docker
  return 1
}

refuse_denied_docker() {
  # into a variable first: with pipefail, the failure of docker would be the pipe's
  local answer
  answer=$(docker info 2>&1) || true
  if [[ $answer == *'permission denied'* ]]; then
    fail 69 "the Docker engine refuses $(id -un)" "only root and the group docker may use its socket" \
      "sudo usermod -aG docker $(id -un), log in again (that group can become root), then ./setup.sh again" docker-refuses
  fi
}

do_docker() {
  if ! has docker; then
    # shellcheck disable=SC2046 # names of packages
    install_packages $(packages_of docker)
    # a package of its own since Debian 13
    if [[ $(package_manager) == apt ]] && ! has docker; then install_packages docker-cli; fi
  fi
  if ! docker_answers; then
    refuse_denied_docker
    say "starting the Docker engine: $(start_command docker)"
    start_service docker
    record "service Docker"
  fi
  if ! wait_for 120 docker_answers; then
    refuse_denied_docker
    fail 69 "the Docker engine does not answer" "it was started 120 s ago" \
      "docker info; sudo tail /var/log/dockerd.log, or journalctl -u docker" no-docker
  fi
}

# --- Compose ---

# Compose is a plugin of docker, or a program of its own; version 1 is neither.
find_compose() {
  local version
  compose_v1=
  for COMPOSE in "docker compose" docker-compose; do
    version=$($COMPOSE version --short 2>/dev/null) || continue
    version=${version#v}
    if [[ ${version%%.*} -ge 2 ]] 2>/dev/null; then
      compose_version=$version
      return
    fi
    compose_v1=$version
  done
  return 1
}

compose() { $COMPOSE "$@"; }

compose_package() { # the package that holds Compose v2; false when there is none
  local name candidate
  case $(package_manager) in
    apt)
      for name in docker-compose-v2 docker-compose-plugin docker-compose; do
        candidate=$(apt-cache policy "$name" 2>/dev/null | sed -n 's/^ *Candidate: //p')
        case $name$candidate in
          *'(none)' | "$name" | docker-compose1.*) continue ;;
          *) printf '%s\n' "$name" && return ;;
        esac
      done
      return 1
      ;;
    dnf | brew) printf 'docker-compose\n' ;;
    *) return 1 ;;
  esac
}

refuse_missing_compose() {
  local why="docker compose is not installed, and this system's packages do not hold version 2"
  if [[ -n $compose_v1 ]]; then why="found only docker-compose $compose_v1; version 1 cannot read docker-compose.yml"; fi
  fail 69 "Compose v2 or later is needed" "$why" \
    "install it as https://docs.docker.com/compose/install/linux/ says, then ./setup.sh again" compose-version
}

found_compose() {
  if find_compose; then
    FOUND="Compose $compose_version ($COMPOSE)"
    return
  fi
  if ! compose_package >/dev/null && { has docker || [[ -n $compose_v1 ]]; }; then refuse_missing_compose; fi
  TODO="install Compose v2 ($(package_manager))"
  return 1
}

do_compose() {
  local name
  name=$(compose_package) || refuse_missing_compose
  install_packages "$name"
  find_compose || refuse_missing_compose
}

need_compose() {
  if ! docker_answers; then
    fail 69 "the Docker engine does not answer" "docker info fails" "./setup.sh doctor" no-docker
  fi
  find_compose || refuse_missing_compose
}
