#!/usr/bin/env bash
# Set up the real thing in one go: RabbitMQ's virtual host and users, .env, image, containers, main job.
set -Eeuo pipefail # -E: functions inherit the ERR trap
cd "$(dirname "${BASH_SOURCE[0]}")"
trap 'printf "setup: stopped at %s:%s. Fix that and run again.\n" "${BASH_SOURCE[0]}" "$LINENO" >&2' ERR

readonly STATE=.setup-state # what this script made here, so that `uninstall` undoes that and nothing else
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
    printf 'python docker compose venv elsewhere image containers\n'
  else
    printf 'python rabbitmq docker compose venv vhost users env image containers\n'
  fi
}

say() { printf '==> %s\n' "$*"; }

fail() { # fail CODE WHAT WHY WHAT-TO-DO: every error has these three lines
  printf 'error: %s\n  why: %s\n  do:  %s\n' "$2" "$3" "$4" >&2
  exit "$1"
}

ask() { # ask QUESTION: true when the answer is yes; --yes answers for the user
  local answer=
  if [[ $yes == yes ]]; then return 0; fi
  printf '%s [y/N] ' "$1"
  read -r answer || true
  [[ $answer == [yY]* ]]
}

need_an_answer() {
  if [[ $yes == yes || $dry_run == yes || $interactive == yes ]]; then return; fi
  fail 2 "this would change the machine and cannot ask first" "standard input is no terminal" \
    "./setup.sh $1 --yes   (--dry-run shows what it would do)"
}

quietly() { # quietly WHAT COMMAND...: show the output only when the command fails
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then return; fi
  printf '%s\n' "$output" >&2
  fail 69 "$what failed" "see the output above" "mend that, then run ./setup.sh again"
}

wait_for() { # wait_for SECONDS COMMAND...: true as soon as the command is
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then return 1; fi
    sleep 0.5
  done
}

recorded() { [[ -f $STATE ]] && grep -qxF "$1" "$STATE"; }

record() { if ! recorded "$1"; then printf '%s\n' "$1" >>"$STATE"; fi; }

recorded_names() { # recorded_names KIND: what was made of this kind, one a line
  if [[ -f $STATE ]]; then sed -n "s/^$1 //p" "$STATE"; fi
}

source deploy/setup/machine.sh
source deploy/setup/settings.sh
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

do_venv() { deploy/setup/venv.sh requirements.txt; }

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
  local todo step management=no
  need_an_answer install
  ignore_exported_urls
  check_broker_option
  say "looking at this machine: $(describe_machine)"
  make_plan
  if [[ $dry_run == yes ]]; then
    say "a dry run: nothing was changed"
    return
  fi
  if [[ -z $todo ]]; then
    say "everything is in place: nothing to change"
  else
    ask "Do what is marked [todo]?" || fail 130 "nothing was changed" "the answer was no" "./setup.sh"
    if [[ $yes == no && -z $broker ]] && ! management_enabled; then
      if ask "Also serve RabbitMQ's management page, on this machine only (http://localhost:15672)?"; then
        management=yes
      fi
    fi
    for step in $todo; do "do_$step"; done
    # a new image or new settings make containers old that were current when the plan was made
    found_containers || do_containers
    if [[ $management == yes ]]; then enable_management; fi
  fi
  await_workers
  run_main_job
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
Usage: ./setup.sh [COMMAND] [--yes] [--dry-run] [--broker URL [--broker-ca FILE]]

  install     set everything up, start the workers, run the main job (the default)
  doctor      check each part; say the cause and the command that mends it
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
  --packages  with uninstall: also remove the system packages that install installed

Environment: SETUP_VHOST and SETUP_USER_PREFIX (both distributed-test), COMPOSE_PROJECT_NAME.
Exit codes: 0 done, 1 a check did not hold, 2 bad usage, 69 something did not answer, 130 not confirmed;
install and dispatch end with the code of dispatch.py.
USAGE
}

take_broker() { # take_broker OPTION VALUE
  case ${2:-} in '' | -*) fail 2 "$1 needs a value" "none follows it" "./setup.sh --help" ;; esac
  if [[ $1 == --broker ]]; then broker=$2; else authorities=$2; fi
}

main() {
  local command=
  while (($#)); do
    case $1 in
      --help | -h) usage && return ;;
      --yes | -y) yes=yes ;;
      --dry-run) dry_run=yes ;;
      --packages) remove_packages=yes ;;
      --broker | --broker-ca) take_broker "$@" && shift ;;
      -*) fail 2 "unknown option $1" "setup.sh has no such option" "./setup.sh --help" ;;
      *) command=$1 && shift && break ;;
    esac
    shift
  done
  case ${command:=install} in
    dispatch) run_main_job "$@" ;;
    logs) need_compose && compose logs --follow --tail 100 "$@" ;;
    install | doctor | start | stop | restart | clean | uninstall)
      while (($#)); do
        case $1 in
          --yes | -y) yes=yes ;;
          --dry-run) dry_run=yes ;;
          --packages) remove_packages=yes ;;
          --broker | --broker-ca) take_broker "$@" && shift ;;
          --help | -h) usage && return ;;
          *) fail 2 "unknown argument $1" "$command takes --yes and --dry-run" "./setup.sh --help" ;;
        esac
        shift
      done
      "$command"
      ;;
    *) fail 2 "unknown command $command" "setup.sh has no such command" "./setup.sh --help" ;;
  esac
}

main "$@"
