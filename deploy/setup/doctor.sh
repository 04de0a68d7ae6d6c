# One line a check: what holds, what does not, and the command that mends it. Sourced by setup.sh.
# Here is what must be judged before there is Python, and what setup.sh made itself; operate.py judges the rest.
# shellcheck shell=bash

as_json=no # --json

# Adds what setup.sh found, a file of findings, to the document of operate.py.
readonly MERGE='
import json, sys
keys = ("subject", "check", "level", "cause", "fix")
document = json.load(sys.stdin)
with open(sys.argv[1]) as findings:
    document["checks"][:0] = [dict(zip(keys, ["set-up", *line.rstrip("\n").split("\t")])) for line in findings]
document["passed"] = all(check["level"] != "failed" for check in document["checks"])
print(json.dumps(document, indent=2))
'

# A finding is a line: a check, how it came out, what was seen and what mends it, with tabs between.
good() { printf '%s\tok\t%s\t\n' "$1" "$2"; }            # good CHECK CAUSE
warn() { printf '%s\twarning\t%s\t%s\n' "$1" "$2" "$3"; } # warn CHECK CAUSE MEND
bad() { printf '%s\tfailed\t%s\t%s\n' "$1" "$2" "$3"; }   # bad CHECK CAUSE MEND

doctor() {
  local option=--color=never code=0
  if [[ $as_json == yes ]]; then
    option=--json
  elif on_screen && [[ -z ${NO_COLOR:-} ]]; then
    option=--color=always
  fi
  ignore_exported_urls >&2
  check_settings >"$log"
  if deploy/setup/venv.sh --check requirements.txt; then
    examine "$option" || code=$?
  elif [[ $as_json == yes ]]; then
    fail 69 "there is no document" ".venv does not hold the packages of requirements.txt" "make install"
  else
    examine_without_python
  fi
  tell_findings
  if ((code)); then exit "$code"; fi
  if grep -q "^[^	]*	failed	" "$log"; then exit 1; fi
}

# Ends as operate.py does. At the same time: one after the other, these take three times as long.
examine() { # examine OPTION
  local code=0
  if has rabbitmqctl && ! on_macos; then as_root true 2>/dev/null || true; fi # a password is asked for before
  check_users >"$log.users" &
  check_container_user >"$log.container" &
  .venv/bin/python operate.py doctor "$1" >"$log.told" 2>"$log.notes" || code=$?
  wait
  cat "$log.users" "$log.container" >>"$log"
  return "$code"
}

tell_findings() {
  local check level cause mend
  if [[ $as_json == yes ]]; then
    if [[ -s $log.told ]]; then .venv/bin/python -c "$MERGE" "$log" <"$log.told"; fi
  else
    while IFS='	' read -r check level cause mend; do
      case $level in
        ok) printf '[ok] %s: %s\n' "$check" "$cause" ;;
        warning) printf '[!]  %s: %s -> %s\n' "$check" "$cause" "$mend" ;;
        failed) printf '[x]  %s: %s -> %s\n' "$check" "$cause" "$mend" ;;
      esac
    done <"$log"
    if [[ -e $log.told ]]; then cat "$log.told"; fi
  fi
  if [[ -e $log.notes ]]; then cat "$log.notes" >&2; fi
}

check_settings() {
  local check="settings of setup.sh"
  if [[ ! -f .env ]]; then
    bad "$check" "there is no .env" "./setup.sh"
  elif [[ -z $(setting BROKER_URL) || -z $(setting WORKER_BROKER_URL) ]]; then
    bad "$check" ".env lacks BROKER_URL or WORKER_BROKER_URL" "./setup.sh"
  elif [[ $(mode_of .env) != 600 ]]; then
    warn "$check" "others may read the passwords in .env (mode $(mode_of .env))" "chmod 600 .env"
  else
    good "$check" ".env has both broker URLs, mode 600"
  fi
}

check_users() {
  local role check="users of setup.sh"
  if [[ -n $broker ]] || ! broker_answers; then return; fi # not ours; said by operate.py
  if ! has rabbitmqctl || ! read_broker; then
    warn "$check" "not known: $(id -un) may not ask RabbitMQ for them" "sudo ./setup.sh doctor"
  elif ! recall_queues; then
    warn "$check" "not known: celery_app.py, whose queues they may use, cannot be imported" "see configuration"
  else
    for role in $ROLES; do check_user "$role"; done
  fi
}

check_user() { # check_user ROLE
  local check="user of the $1" user=$USER_PREFIX-$1 key named made
  key=$(url_key "$1")
  named=$(setting "$key" | without_password)
  made=$(url_of "$1" '' | without_password)
  if ! knows "user $user"; then
    bad "$check" "$user does not exist" "./setup.sh"
  elif [[ $named != "$made" ]]; then
    bad "$check" "$key in .env is ${named:-not set}, and setup.sh made $made" "./setup.sh"
  elif ! knows "login $user"; then
    bad "$check" "$user has another password than .env says" "./setup.sh"
  elif ! permissions_are_set "$1"; then
    bad "$check" "$user has other permissions on $VHOST than setup.sh gives" "./setup.sh"
  else
    good "$check" "$user has its password, and its permissions on $VHOST"
  fi
}

check_container_user() {
  local check="broker, from a container" container reason
  container=$(running_container) || true
  if [[ -z $(setting WORKER_BROKER_URL) ]]; then
    bad "$check" "not tried, .env lacks WORKER_BROKER_URL" "./setup.sh"
  elif [[ -z $container ]] && ! image_is_built; then
    bad "$check" "not tried, the image is missing" "./setup.sh"
  elif reason=$(probe_from_container "$container"); then
    good "$check" "WORKER_BROKER_URL works"
  else
    explain "$reason"
    bad "$check" "$meaning" "./setup.sh"
  fi
}

image_is_built() { find_compose && docker image inspect "$(image_of "$(services | sed -n 1p)")" >/dev/null 2>&1; }

# --- where there is no Python to judge it ---

examine_without_python() {
  {
    bad "packages" ".venv does not hold those of requirements.txt, so most cannot be judged" "make install"
    check_docker
    check_broker
  } >>"$log"
}

check_docker() {
  if ! has docker; then
    bad "Docker" "not installed" "./setup.sh"
  elif docker_answers; then
    good "Docker" "the engine answers ($(docker version --format '{{.Server.Version}}'))"
  elif [[ $(docker info 2>&1 || true) == *'permission denied'* ]]; then
    bad "Docker" "the engine refuses $(id -un)" "sudo usermod -aG docker $(id -un), then log in again"
  else
    bad "Docker" "the engine does not answer" "$(start_command docker)"
  fi
  if find_compose; then
    good "Compose" "version $compose_version ($COMPOSE)"
  elif [[ -n $compose_v1 ]]; then
    bad "Compose" "only version $compose_v1, which cannot read docker-compose.yml" "https://docs.docker.com/compose/install/linux/"
  else
    bad "Compose" "not installed" "./setup.sh"
  fi
}

check_broker() {
  if broker_answers; then
    good "broker" "port 5672 answers"
  else
    bad "broker" "nothing listens on port 5672" "$(start_command rabbitmq)"
  fi
}
