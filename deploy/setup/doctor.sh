# One line a check: what holds, what does not, and the command that mends it. Sourced by setup.sh.
# Here is what must be judged before there is Python, and what setup.sh made itself; operate.py judges the rest.
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
  check_settings
  if deploy/setup/venv.sh --check requirements.txt; then
    check_users
    check_container_user
    .venv/bin/python operate.py doctor || doctor_failed=yes
  else
    bad "packages: .venv does not hold those of requirements.txt, so most cannot be judged" "make install"
    check_docker
    check_broker
  fi
  [[ $doctor_failed == no ]] || exit 1
}

check_settings() {
  if [[ ! -f .env ]]; then
    bad "settings of setup.sh: there is no .env" "./setup.sh"
  elif [[ -z $(setting BROKER_URL) || -z $(setting WORKER_BROKER_URL) ]]; then
    bad "settings of setup.sh: .env lacks BROKER_URL or WORKER_BROKER_URL" "./setup.sh"
  elif [[ $(mode_of .env) != 600 ]]; then
    warn "settings of setup.sh: others may read the passwords in .env (mode $(mode_of .env))" "chmod 600 .env"
  else
    good "settings of setup.sh: .env has both broker URLs, mode 600"
  fi
}

check_users() {
  local role
  if [[ -n $broker ]] || ! broker_answers; then return; fi # not ours; said by operate.py
  if ! has rabbitmqctl || ! rabbitmq ctl list_vhosts >/dev/null 2>&1; then
    warn "users of setup.sh: not known: $(id -un) may not ask RabbitMQ for them" "sudo ./setup.sh doctor"
    return
  fi
  read_granted || true # no virtual host: said by operate.py
  read_queues
  for role in $ROLES; do check_user "$role"; done
}

check_user() {
  local user=$USER_PREFIX-$1
  if ! user_exists "$user"; then
    bad "user: $user does not exist" "./setup.sh"
  elif ! password_works "$1"; then
    bad "user: $user has another password than .env says" "./setup.sh"
  elif ! permissions_are_set "$1"; then
    bad "user: $user has other permissions on $VHOST than setup.sh gives" "./setup.sh"
  else
    good "user: $user has its password, and its permissions on $VHOST"
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

# --- where there is no Python to judge it ---

check_docker() {
  if ! has docker; then
    bad "Docker: not installed" "./setup.sh"
  elif docker_answers; then
    good "Docker: the engine answers ($(docker version --format '{{.Server.Version}}'))"
  elif [[ $(docker info 2>&1 || true) == *'permission denied'* ]]; then
    bad "Docker: the engine refuses $(id -un)" "sudo usermod -aG docker $(id -un), then log in again"
  else
    bad "Docker: the engine does not answer" "$(start_command docker)"
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
  if broker_answers; then
    good "broker: port 5672 answers"
  else
    bad "broker: nothing listens on port 5672" "$(start_command rabbitmq)"
  fi
}
