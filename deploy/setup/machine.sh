# The machine: its system and package manager, Python, RabbitMQ, the Docker engine, Compose.
# Sourced by setup.sh.
# shellcheck shell=bash

apt_updated=no

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

package_manager() {
  local name
  for name in apt-get dnf brew; do
    if has "$name"; then
      printf '%s\n' "${name%-get}"
      return
    fi
  done
  printf 'none\n'
}

service_manager() {
  if on_macos; then
    printf 'brew services\n'
  elif [[ -d /run/systemd/system ]]; then
    printf 'systemd\n'
  else
    printf 'no systemd\n'
  fi
}

describe_machine() {
  local name
  name=$(uname -s)
  if [[ -r /etc/os-release ]]; then name=$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\).*/\1/p' /etc/os-release); fi
  printf '%s, package manager %s, %s\n' "$name" "$(package_manager)" "$(service_manager)"
}

is_installed() { # is_installed PACKAGE
  case $(package_manager) in
    apt) dpkg-query --show --showformat='${Status}' "$1" 2>/dev/null | grep -q 'ok installed' ;;
    dnf) rpm --query --quiet "$1" ;;
    brew) brew list "$1" >/dev/null 2>&1 ;;
    *) return 1 ;;
  esac
}

install_packages() {
  local name manager
  manager=$(package_manager)
  for name in "$@"; do
    if is_installed "$name"; then continue; fi
    say "installing the package $name"
    case $manager in
      apt)
        if [[ $apt_updated == no ]]; then quietly "apt-get update" as_root apt-get update --quiet=2; fi
        apt_updated=yes
        quietly "the installation of $name" \
          as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends "$name"
        ;;
      dnf) quietly "the installation of $name" as_root dnf install --assumeyes --quiet "$name" ;;
      brew) quietly "the installation of $name" brew install "$name" ;;
      *) fail 69 "$name cannot be installed" "found none of apt, dnf and brew" "install $name, then ./setup.sh again" ;;
    esac
    record "package $name"
  done
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
  case $(package_manager) in
    apt) install_packages python3 python3-venv ;;
    brew) install_packages python@3.13 ;;
    *) install_packages python3 ;;
  esac
  if ! found_python; then
    fail 69 "no Python 3.11 or newer" "this system's packages hold an older one: $(python3 -V 2>&1 || true)" \
      "install a newer Python, then ./setup.sh again"
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

start_rabbitmq_command() {
  case $(service_manager) in
    'brew services') printf 'brew services start rabbitmq' ;;
    systemd) printf 'systemctl start rabbitmq-server' ;;
    # not through su, as the package's command does for root: PAM would set the limit of open files anew
    *) printf 'setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups --reset-env rabbitmq-server -detached' ;;
  esac
}

found_rabbitmq() {
  TODO="install RabbitMQ ($(package_manager)) and start it"
  if ! has rabbitmqctl; then
    if broker_answers; then
      fail 69 "RabbitMQ cannot be set up" "something answers on port 5672, but there is no rabbitmqctl here to make users with" \
        "make a virtual host and users there, fill in .env (see .env.example), then: make up run"
    fi
    return 1
  fi
  TODO="start RabbitMQ: $(start_rabbitmq_command)"
  FOUND="RabbitMQ answers on port 5672"
  broker_answers
}

do_rabbitmq() {
  if ! has rabbitmqctl; then
    if [[ $(package_manager) == brew ]]; then install_packages rabbitmq; else install_packages rabbitmq-server; fi
  fi
  if ! wait_for 5 broker_is_ready; then
    say "starting RabbitMQ: $(start_rabbitmq_command)"
    ulimit -n "$(ulimit -Hn)" # quorum queues hold files; at the usual 1,024 a dozen virtual hosts are the end
    # the words of the command that was just shown
    # shellcheck disable=SC2046
    quietly "the start" as_owner $(start_rabbitmq_command)
    record "service RabbitMQ"
  fi
  if ! wait_for 60 broker_is_ready; then
    fail 69 "RabbitMQ does not answer" "it was started 60 s ago" "sudo tail /var/log/rabbitmq/*.log"
  fi
}

# --- Docker ---

docker_answers() { docker info >/dev/null 2>&1; }

start_docker_command() {
  if on_macos; then
    printf 'open -a Docker'
  elif [[ $(service_manager) == systemd ]]; then
    printf 'systemctl start docker'
  else
    printf 'dockerd'
  fi
}

found_docker() {
  TODO="install the Docker engine ($(package_manager)) and start it"
  if ! has docker; then return 1; fi
  TODO="start the Docker engine: $(start_docker_command)"
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
      "sudo usermod -aG docker $(id -un), log in again (that group can become root), then ./setup.sh again"
  fi
}

do_docker() {
  if ! has docker; then
    case $(package_manager) in
      apt)
        install_packages docker.io iptables
        if ! has docker; then install_packages docker-cli; fi # a package of its own since Debian 13
        ;;
      brew) install_packages docker-desktop ;;
      *) install_packages moby-engine ;;
    esac
  fi
  if ! docker_answers; then
    refuse_denied_docker
    say "starting the Docker engine: $(start_docker_command)"
    start_docker
    record "service Docker"
  fi
  if ! wait_for 120 docker_answers; then
    refuse_denied_docker
    fail 69 "the Docker engine does not answer" "it was started 120 s ago" "docker info; sudo tail /var/log/dockerd.log, or journalctl -u docker"
  fi
}

start_docker() {
  if on_macos; then
    open -a Docker
  elif [[ $(service_manager) == systemd ]]; then
    quietly "the start" as_root systemctl start docker
  else
    as_root sh -c 'setsid nohup dockerd >/var/log/dockerd.log 2>&1 </dev/null &' # outlives this script
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
    "install it as https://docs.docker.com/compose/install/linux/ says, then ./setup.sh again"
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
    fail 69 "the Docker engine does not answer" "docker info fails" "./setup.sh doctor"
  fi
  find_compose || refuse_missing_compose
}
