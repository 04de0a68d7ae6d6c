# One line a check: what holds, what does not, and the command that mends it. Sourced by setup.sh.
# shellcheck shell=bash

doctor_failed=no

good() { printf '[ok] %s\n' "$1"; }
warn() { printf '[!]  %s -> %s\n' "$1" "$2"; }
bad() { # bad WHAT-AND-WHY MEND
  printf '[x]  %s -> %s\n' "$1" "$2"
  doctor_failed=yes
}

doctor() {
  ignore_exported_urls
  check_packages
  check_docker
  check_broker
  check_settings
  check_host_user
  check_container_user
  check_containers
  check_answers
  [[ $doctor_failed == no ]] || exit 1
}

check_packages() {
  if deploy/setup/venv.sh --check requirements.txt; then
    good "packages: those of requirements.txt are in .venv"
  else
    bad "packages: .venv does not hold those of requirements.txt" "make install"
  fi
}

check_docker() {
  if ! has docker; then
    bad "Docker: not installed" "./setup.sh"
  elif docker_answers; then
    good "Docker: the engine answers ($(docker version --format '{{.Server.Version}}'))"
  elif [[ $(docker info 2>&1 || true) == *'permission denied'* ]]; then
    bad "Docker: the engine refuses $(id -un)" "sudo usermod -aG docker $(id -un), then log in again"
  else
    bad "Docker: the engine does not answer" "$(start_docker_command)"
  fi
  if find_compose; then
    good "Compose: version $compose_version ($COMPOSE)"
  elif [[ -n $compose_v1 ]]; then
    bad "Compose: only version $compose_v1, which cannot read docker-compose.yml" "https://docs.docker.com/compose/install/linux/"
  else
    bad "Compose: not installed" "./setup.sh"
  fi
}

check_broker() {
  if ! broker_answers; then
    bad "RabbitMQ: nothing listens on port 5672" "$(start_rabbitmq_command)"
    return
  fi
  good "RabbitMQ: port 5672 answers"
  if ! has rabbitmqctl || ! rabbitmq ctl list_vhosts >/dev/null 2>&1; then
    warn "virtual host and users: $(id -un) may not ask RabbitMQ for them" "sudo ./setup.sh doctor"
    return
  fi
  if vhost_exists "$VHOST"; then
    good "virtual host: $VHOST exists"
  else
    bad "virtual host: $VHOST does not exist" "./setup.sh"
  fi
  check_user dispatcher
  check_user worker
}

check_user() {
  local user=$USER_PREFIX-$1
  if ! user_exists "$user"; then
    bad "user: $user does not exist" "./setup.sh"
  elif ! password_works "$1"; then
    bad "user: $user has another password than .env says" "./setup.sh"
  elif ! deploy/setup/venv.sh --check requirements.txt; then
    warn "user: the permissions of $user cannot be judged without the packages" "make install"
  elif ! permissions_are_set "$1"; then
    bad "user: $user has other permissions on $VHOST than it needs" "./setup.sh"
  else
    good "user: $user has its password, and its permissions on $VHOST"
  fi
}

check_settings() {
  if [[ ! -f .env ]]; then
    bad "settings: there is no .env" "./setup.sh"
  elif [[ -z $(setting BROKER_URL) || -z $(setting WORKER_BROKER_URL) ]]; then
    bad "settings: .env lacks BROKER_URL or WORKER_BROKER_URL" "./setup.sh"
  elif [[ $(mode_of .env) != 600 ]]; then
    warn "settings: others may read the passwords in .env (mode $(mode_of .env))" "chmod 600 .env"
  else
    good "settings: .env has both broker URLs, mode 600"
  fi
}

check_host_user() {
  local reason
  if [[ ! -x .venv/bin/python || -z $(setting BROKER_URL) ]]; then
    bad "broker, from the host: not tried, packages or BROKER_URL are missing" "./setup.sh"
  elif reason=$(probe_from_host); then
    good "broker, from the host: BROKER_URL works"
  else
    bad "broker, from the host: $(explain "$reason")" "./setup.sh"
  fi
}

images_are_built() { docker_answers && find_compose && docker image inspect "$(compose config --images | sed -n 1p)" >/dev/null 2>&1; }

check_container_user() {
  local reason
  if [[ -z $(setting WORKER_BROKER_URL) ]] || ! images_are_built; then
    bad "broker, from a container: not tried, the image or WORKER_BROKER_URL is missing" "./setup.sh"
  elif reason=$(probe_from_container); then
    good "broker, from a container: WORKER_BROKER_URL works"
  else
    bad "broker, from a container: $(explain "$reason")" "./setup.sh"
  fi
}

check_containers() {
  local service states
  if ! docker_answers || ! find_compose; then return; fi # said above
  for service in $(services); do
    states=$(compose ps --all --format '{{.State}} {{.Health}}' "$service" | sort | uniq -c | awk '{ $1 = $1 } 1' | paste -s -d , -)
    case $states in
      '') bad "container of $service: there is none" "./setup.sh start" ;;
      *exited* | *restarting* | *dead* | *paused* | *created*) bad "container of $service: $states" "./setup.sh start; docker compose logs $service" ;;
      *unhealthy*) bad "container of $service: $states, it does not consume" "docker compose logs $service" ;;
      *) good "container of $service: $states" ;;
    esac
  done
}

check_answers() {
  local nodes service
  if ! find_compose || [[ ! -x .venv/bin/celery ]] || ! broker_answers || ! probe_from_host >/dev/null; then
    bad "workers: not asked, see above" "./setup.sh"
    return
  fi
  nodes=$(answering_nodes) || true
  for service in $(services); do
    if grep -q "^$service@" <<<"$nodes"; then
      good "worker $service: $(grep "^$service@" <<<"$nodes" | paste -s -d ' ' -) answers through the broker"
    else
      bad "worker $service: no node answers through the broker" "./setup.sh start; docker compose logs $service"
    fi
  done
}
