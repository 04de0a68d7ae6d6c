#!/usr/bin/env bash
# Set up the real thing in one go: RabbitMQ's virtual host and users, .env, image, containers, main job.
set -Eeuo pipefail # -E: functions inherit the ERR trap
cd "$(dirname "${BASH_SOURCE[0]}")"
trap 'printf "setup: stopped at %s:%s. Fix that and run again.\n" "${BASH_SOURCE[0]}" "$LINENO" >&2' ERR

export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/opt/homebrew/bin:/opt/homebrew/sbin"

if [[ -t 0 ]]; then interactive=yes; else interactive=no; fi
yes=no
dry_run=no
remove_packages=no

# What a step finds out: `found_STEP` is true when there is nothing to do and tells FOUND; otherwise it
# tells TODO, and `do_STEP` does that.
FOUND=
TODO=
steps() {
  if [[ -n $broker ]]; then
    printf 'python docker compose venv elsewhere options image containers\n'
  else
    printf 'python rabbitmq docker compose venv vhost users env options image containers\n'
  fi
}

say() { printf '==> %s\n' "$*"; }

# Every error has these three lines; the last ends with its place in docs/troubleshooting.md, as a shell's comment.
fail() { # fail CODE WHAT WHY WHAT-TO-DO [PLACE]
  printf 'error: %s\n  why: %s\n  do:  %s%s\n' "$2" "$3" "$4" "${5:+  # docs/troubleshooting.md#$5}" >&2
  exit "$1"
}

source deploy/setup/progress.sh
source deploy/setup/changes.sh
source deploy/setup/questions.sh
source deploy/setup/packages.sh
source deploy/setup/services.sh
source deploy/setup/machine.sh
source deploy/setup/settings.sh
source deploy/setup/build.sh
source deploy/setup/broker.sh
source deploy/setup/elsewhere.sh
source deploy/setup/containers.sh
source deploy/setup/doctor.sh
source deploy/setup/removal.sh

found_venv() {
  FOUND="the packages of requirements.txt are in .venv"
  TODO="create .venv and install the packages of requirements.txt"
  deploy/setup/venv.sh --check requirements.txt
}

do_venv() {
  say "creating .venv and installing the packages of requirements.txt"
  if [[ ! -e .venv ]]; then record venv; fi
  quietly "the installation of the packages" deploy/setup/venv.sh requirements.txt
}

# Show each step with what was found; leave the names of those that are needed in `todo`.
make_plan() {
  local step
  todo=
  for step in $(steps); do
    if "found_$step"; then
      printf '  [ok]   %s\n' "$FOUND"
    else
      printf '  [todo] %s\n' "$TODO"
      todo="$todo $step"
    fi
  done
}

install() {
  local todo step before management=no
  take_build_settings
  ask_for_broker
  check_broker_option
  take_build_ca
  need_an_answer install
  ignore_exported_urls
  say "looking at this machine: $(describe_machine)"
  make_plan
  if [[ $dry_run == yes ]]; then
    say "a dry run: nothing was changed"
    return
  fi
  if [[ -z $todo ]]; then
    say "everything is in place: nothing to change"
  else
    ask_before_change
    before=$(all_records)
    for step in $todo; do "do_$step"; done
    # a new image or new settings make containers old that were current when the plan was made
    found_containers || do_containers
    if [[ $management == yes ]]; then enable_management; fi
    await_workers
    tell_changes "$before"
  fi
  run_main_job
}

ask_before_change() { # leaves its answers in `management` and the settings of the build
  if [[ " $todo " == *' image '* ]]; then ask_for_build; fi
  take_build_ca
  if [[ " $todo " != *' options '* ]] && ! found_options; then todo=${todo/ image/ options image}; fi
  if asks && [[ -z $broker ]] && ! management_enabled; then
    say "RabbitMQ has a page that shows its queues: http://localhost:15672, served to this machine alone."
    if ask "Serve it?"; then management=yes; fi
  fi
  if asks; then say "What is marked [todo] is done now; ./setup.sh uninstall takes it back."; fi
  ask "Go on?" yes || fail 130 "nothing was changed" "the answer was no" "./setup.sh"
}

tell_changes() { # tell_changes RECORDS: the changes after these
  local changes
  changes=$(list_changes "$1")
  if [[ -z $changes ]]; then return; fi
  say "changed on this machine; ./setup.sh uninstall takes it back:"
  printf '%s\n' "$changes"
}

start() {
  if [[ -z $broker ]]; then found_rabbitmq || do_rabbitmq; fi
  found_docker || do_docker
  need_compose
  compose unpause >/dev/null 2>&1 || true # a paused container cannot be started
  do_containers
  await_workers
}

stop() {
  need_compose
  say "stopping the workers; each finishes the task it runs"
  quietly "docker compose stop" compose --profile monitoring stop
  say "stopped. RabbitMQ and Docker were left running"
}

restart() {
  stop
  start
}

run_main_job() {
  say "running the main job: .venv/bin/python dispatch.py $*" >&2 # stdout is the job's own: it may be JSON
  local code=0
  .venv/bin/python dispatch.py "$@" || code=$?
  exit "$code"
}

usage() {
  cat <<'USAGE'
Usage: ./setup.sh [COMMAND] [--yes] [--dry-run] [--broker URL [--broker-ca FILE]] [--build-ca FILE]

  install     set everything up, start the workers, run the main job (the default)
  doctor      check each part; say the cause and the command that mends it (--json: as a JSON document)
  start       start the workers (and RabbitMQ and Docker where they are down)
  stop        stop the workers; each finishes the task it runs
  restart     stop, then start
  logs        follow the workers' logs
  dispatch    run dispatch.py; further arguments are passed on
  clean       remove containers, images, .venv, caches and results; keep .env and the broker's users
  uninstall   clean, and remove the users, the virtual host and .env that install made

  --yes       answer every question with yes, except the one about the management page
  --dry-run   show what install, clean or uninstall would do; change nothing
  --broker    with install, a URL: use this RabbitMQ, amqps://USER@HOST:5671/VHOST (or amqp://), instead of one on
              this machine; no user and no virtual host is made on it. Its password is asked for, or BROKER_PASSWORD
  --broker-ca  with --broker, a file (PEM): the authority that signed its certificate, where the system does not trust it
  --build-ca  with install, a file (PEM): the authority that signed the certificate of the package index or the proxy
  --packages  with uninstall: also remove the system packages that install installed

Environment: SETUP_VHOST and SETUP_USER_PREFIX (both distributed-test), COMPOSE_PROJECT_NAME; for the build of the image
PIP_INDEX_URL, BASE_IMAGE, HTTP_PROXY, HTTPS_PROXY and NO_PROXY. On a terminal it asks; Enter takes the default shown.
Exit codes: 0 done, 1 a check did not hold, 2 bad usage, 69 something did not answer, 130 not confirmed;
install and dispatch end with the code of dispatch.py.
USAGE
}

take_value() { # take_value OPTION VALUE
  case ${2:-} in '' | -*) fail 2 "$1 needs a value" "none follows it" "./setup.sh --help" ;; esac
  case $1 in
    --broker) broker=$2 ;;
    --broker-ca) authorities=$2 ;;
    --build-ca) build_ca=$2 ;;
  esac
}

check_options() { # check_options COMMAND OPTION...: those that were given
  local command=$1
  shift
  while (($#)); do
    case "$command $1" in
      *' --yes' | *' -y' | 'doctor --json' | 'uninstall --packages') ;;
      'install --dry-run' | 'clean --dry-run' | 'uninstall --dry-run') ;;
      'install --broker' | 'install --broker-ca' | 'install --build-ca') ;;
      *) fail 2 "$command takes no $1" "it is an option of another command" "./setup.sh --help" ;;
    esac
    shift
  done
}

main() {
  local command='' given=''
  while (($#)); do
    case $1 in
      -*) given="$given $1" ;;
      *)
        if [[ -n $command ]]; then fail 2 "unknown argument $1" "$command takes options alone" "./setup.sh --help"; fi
        command=$1
        ;;
    esac
    case $1 in
      --help | -h) usage && return ;;
      --yes | -y) yes=yes ;;
      --dry-run) dry_run=yes ;;
      --packages) remove_packages=yes ;;
      --json) as_json=yes ;;
      --broker | --broker-ca | --build-ca) take_value "$@" && shift ;;
      -*) fail 2 "unknown option $1" "setup.sh has no such option" "./setup.sh --help" ;;
      dispatch | logs) shift && break ;; # what follows is for them
    esac
    shift
  done
  # shellcheck disable=SC2086 # the words
  check_options "${command:=install}" $given
  case $command in
    dispatch) run_main_job "$@" ;;
    logs) need_compose && compose logs --follow --tail 100 "$@" ;;
    install | doctor | start | stop | restart | clean | uninstall) "$command" ;;
    *) fail 2 "unknown command $command" "setup.sh has no such command" "./setup.sh --help" ;;
  esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main "$@"; fi
