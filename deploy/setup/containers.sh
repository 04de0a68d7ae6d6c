# The image, the containers, and whether the workers in them answer. Sourced by setup.sh.
# shellcheck shell=bash

# Runs with the broker settings of its environment, in a container.
readonly PROBE='
import sys
from celery_app import app
try:
    with app.connection_for_write(connect_timeout=5) as connection:
        connection.connect()
except Exception as exc:
    sys.exit(f"{type(exc).__name__}: {exc}")
'

image_sources() { # a checksum of all that the image is made from
  {
    printf '%s\n' "${BASE_IMAGE:-}"
    find Dockerfile .dockerignore requirements.txt celery_app.py worker -type f ! -name '*.pyc' | LC_ALL=C sort |
      while read -r file; do printf '%s ' "$file" && cksum <"$file"; done
  } | cksum | tr ' ' -
}

services() { COMPOSE_PROFILES='' compose config --services | LC_ALL=C sort; } # the workers

image_of() { compose config --images 2>/dev/null | grep -e "-$1\$"; }

found_image() {
  local service
  FOUND="the image is up to date"
  TODO="build the workers' image"
  if ! docker_answers || ! find_compose; then return 1; fi
  for service in $(services); do
    docker image inspect "$(image_of "$service")" >/dev/null 2>&1 || return 1
  done
  TODO="build the workers' image again: its sources have changed"
  recorded "image-sources $(image_sources)"
}

do_image() {
  say "building the workers' image (about a minute the first time)"
  refuse_foreign_containers
  record "containers"
  # shellcheck disable=SC2046 # names of variables
  quietly "the build of the image" compose build $(proxy_arguments)
  remember image-sources "$(image_sources)"
}

project() { compose config --format json | sed -n 's/^  "name": "\(.*\)",\{0,1\}$/\1/p'; }

# A container that we did not start, of a project with our name, belongs to another copy of this folder.
refuse_foreign_containers() {
  local owner
  while read -r owner; do
    if [[ $owner != "$PWD" && -d $owner ]]; then
      fail 69 "the containers of $(project) belong to $owner" "both folders use the same Compose project name" \
        "docker compose down, there; or COMPOSE_PROJECT_NAME=other ./setup.sh" another-copy
    fi
  done < <(docker ps --all --filter "label=com.docker.compose.project=$(project)" \
    --format '{{.Label "com.docker.compose.project.working_dir"}}' | sort -u)
}

running_container() { # one of this project's, whichever; Flower's image is made from the workers'
  docker ps --quiet --filter "label=com.docker.compose.project=$(project_name)" --filter status=running 2>/dev/null | sed -n 1p
}

running_services() { compose ps --status running --services 2>/dev/null | LC_ALL=C sort -u; }

# Every container runs the image and the settings that it would be started with now.
containers_are_current() {
  local service container
  for service in $(services); do
    for container in $(compose ps --quiet "$service"); do
      [[ $(docker inspect --format '{{index .Config.Labels "com.docker.compose.config-hash"}} {{.Image}}' "$container") == \
        "$(compose config --hash "$service" | cut -d ' ' -f 2) $(docker image inspect --format '{{.Id}}' "$(image_of "$service")")" ]] || return 1
    done
  done
}

found_containers() {
  FOUND="a container of each service runs: $(services 2>/dev/null | paste -s -d ' ' -)" || FOUND=
  TODO="start a container of each service: docker compose up --detach"
  if ! docker_answers || ! find_compose || [[ -n $(LC_ALL=C comm -23 <(services) <(running_services)) ]]; then return 1; fi
  TODO="start the containers anew: image or settings have changed"
  containers_are_current
}

do_containers() {
  local reason
  refuse_foreign_containers
  if ! reason=$(probe_from_container); then
    explain "$reason"
    fail 69 "a container cannot use the broker" "$meaning" "./setup.sh doctor" "$place"
  fi
  say "starting the containers"
  record "containers"
  quietly "docker compose up" compose up --detach --no-build --remove-orphans
}

# --- who answers ---

# The worker's own URL, from where the worker is: in a container of its own, or in one that runs.
# --env with a name alone: a value could be read in `ps`.
probe_from_container() ( # probe_from_container [CONTAINER]; in parentheses: its exports end with it
  local gateway image authorities
  authorities=$(setting BROKER_CA)
  export BROKER_URL BROKER_TLS_NAME BROKER_CA=${authorities:+/run/broker-ca.pem}
  BROKER_URL=$(setting WORKER_BROKER_URL)
  BROKER_TLS_NAME=$(setting BROKER_TLS_NAME)
  if [[ -n ${1:-} ]]; then
    docker exec --env BROKER_URL --env BROKER_CA --env BROKER_TLS_NAME "$1" python -c "$PROBE" 2>&1
    return
  fi
  gateway=${HOST_GATEWAY:-$(setting HOST_GATEWAY)}
  image=$(image_of "$(services | sed -n 1p)")
  docker run --rm --env BROKER_URL --env BROKER_CA --env BROKER_TLS_NAME \
    --mount "type=bind,source=${authorities:-/dev/null},target=/run/broker-ca.pem,readonly" \
    --add-host "host.docker.internal:${gateway:-host-gateway}" "$image" python -c "$PROBE" 2>&1
)

# What a probe's error means, in `meaning`, and where docs/troubleshooting.md tells more of it, in `place`.
explain() { # explain REASON
  local last
  last=$(printf '%s\n' "$1" | tail -n 1)
  case $last in
    *ACCESS_REFUSED*access\ to*) place=not-permitted meaning="the user lacks a permission" ;;
    *403*) place=user-refused meaning="RabbitMQ refuses the user or its password (guest may connect from the host alone)" ;;
    *CERTIFICATE_VERIFY_FAILED*) place=tls meaning="its certificate is of an authority that is not trusted, or for another name" ;;
    *530*not\ found*) place=no-virtual-host meaning="the virtual host is missing" ;;
    *530*access\ to\ vhost*) place=no-virtual-host meaning="the virtual host is there, and the user has no permissions on it" ;;
    *530*) place=no-virtual-host meaning="the virtual host is missing, or not for this user" ;;
    *refused*) place=no-broker meaning="nothing listens at that address (does RabbitMQ listen on loopback alone?)" ;;
    *imed*out*) place=no-broker meaning="no answer; a firewall may be between container and host" ;;
    *) place=no-broker meaning=$last && return ;;
  esac
  meaning="$meaning: $last"
}

# The nodes that answer a ping through the broker, one a line.
answering_nodes() {
  with_broker .venv/bin/celery -A celery_app inspect ping --timeout 1 2>/dev/null |
    sed -n 's/^->  \([^:]*\): OK.*/\1/p'
}

all_services_answer() {
  local nodes service
  nodes=$(answering_nodes) || true
  for service in $(services); do
    grep -q "^$service@" <<<"$nodes" || return 1
  done
}

await_workers() {
  say "waiting until the workers answer through the broker"
  if ! wait_for 60 all_services_answer; then
    compose logs --tail 20 >&2
    fail 69 "not every worker answers through the broker" "60 s have passed; their last log lines are above" \
      "./setup.sh doctor" unhealthy
  fi
}
