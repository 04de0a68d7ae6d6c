# .env: the broker URLs and Flower's password, which exist nowhere else. Sourced by setup.sh.
# shellcheck shell=bash

readonly BEGIN='# --- written by setup.sh, removed by its uninstall: begin ---'
readonly END='# --- written by setup.sh: end ---'
readonly OURS="BROKER_URL WORKER_BROKER_URL MONITOR_BROKER_URL BROKER_CA BROKER_TLS_NAME FLOWER_BASIC_AUTH" # in .env
readonly SET_ASIDE='#setup.sh# ' # stands before a line of the user's own that ours replaces

# Names that an environment variable gave at install are found again later without it.
VHOST=${SETUP_VHOST:-$(recorded_names vhost-name)}
VHOST=${VHOST:-distributed-test}
USER_PREFIX=${SETUP_USER_PREFIX:-$(recorded_names user-prefix)}
USER_PREFIX=${USER_PREFIX:-distributed-test}
readonly VHOST USER_PREFIX

check_names() {
  case "$VHOST$USER_PREFIX" in
    *[!A-Za-z0-9._-]*)
      fail 2 "SETUP_VHOST or SETUP_USER_PREFIX cannot be used" "they become part of a URL: letters, digits, dot, dash, underscore" \
        "choose other names"
      ;;
  esac
}
check_names

setting() { # setting KEY: its value in .env
  if [[ -f .env ]]; then sed -n "s/^$1=//p" .env | tail -n 1 | sed -e 's/^"\(.*\)"$/\1/' -e "s/^'\(.*\)'\$/\1/"; fi
}

# The same for Compose's, which then acts on the containers made here, whatever shell it is called from.
COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-$(setting COMPOSE_PROJECT_NAME)}
COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-$(recorded_names project)}
if [[ -n $COMPOSE_PROJECT_NAME ]]; then export COMPOSE_PROJECT_NAME; else unset COMPOSE_PROJECT_NAME; fi

# with_broker COMMAND...: with the settings of .env, as dispatch.py has them
with_broker() {
  BROKER_URL=$(setting BROKER_URL) BROKER_CA=$(setting BROKER_CA) BROKER_TLS_NAME=$(setting BROKER_TLS_NAME) "$@"
}

# The workers and dispatch.py would take these before .env: what is checked here would not be what runs.
ignore_exported_urls() {
  local key
  for key in $OURS; do
    if [[ -n ${!key:-} ]]; then say "note: $key is set in this shell; set-up and doctor use .env instead"; fi
    unset "$key"
  done
}

url_key() { # url_key ROLE
  case $1 in
    dispatcher) printf 'BROKER_URL\n' ;;
    worker) printf 'WORKER_BROKER_URL\n' ;;
    monitor) printf 'MONITOR_BROKER_URL\n' ;;
  esac
}

# Workers and Flower are in containers, where the host has another name.
url_host() { if [[ $1 == dispatcher ]]; then printf 'localhost\n'; else printf 'host.docker.internal\n'; fi; }

url_of() { # url_of ROLE PASSWORD
  printf 'amqp://%s:%s@%s:5672/%s\n' "$USER_PREFIX-$1" "$2" "$(url_host "$1")" "$VHOST"
}

password_in_env() { # password_in_env ROLE: empty unless .env names this user, host and virtual host
  setting "$(url_key "$1")" | sed -n "s|^$(url_of "$1" '\([^@]*\)')\$|\1|p"
}

new_password() { od -An -N 24 -tx1 /dev/urandom | tr -d ' \n'; }

mode_of() { stat -c %a "$1" 2>/dev/null || stat -f %Lp "$1"; } # GNU, BSD

found_env() {
  local role
  TODO="write .env (mode 600) with the broker's URLs"
  if [[ ! -f .env ]]; then return 1; fi
  TODO="put the broker's URLs into .env (mode 600); your own lines are kept"
  for role in $ROLES; do
    if [[ -z $(password_in_env "$role") ]]; then return 1; fi
  done
  TODO="set the mode of .env to 600: it holds passwords"
  FOUND=".env holds the broker URLs, mode 600"
  [[ $(mode_of .env) == 600 ]]
}

do_env() { # the users' step has written the URLs
  chmod 600 .env
}

without_our_lines() { # .env as it was before us
  sed -e "/^$BEGIN\$/,/^$END\$/d" -e "s/^$SET_ASIDE//" .env | awk 1 # awk: a last line without its end gets one
}

replace_env() { # with standard input; at once, and never readable by others
  (umask 077 && cat >.env.new)
  mv -f .env.new .env
}

# A password that is there stays; one that is not is generated.
write_settings() {
  local role password
  for role in $ROLES; do
    password=$(password_in_env "$role")
    printf '%s=%s\n' "$(url_key "$role")" "$(url_of "$role" "${password:-$(new_password)}")"
  done | write_env
}

# Replace our lines in .env with standard input, keep all others.
write_env() {
  local lines page keys="$OURS $BUILD_KEYS COMPOSE_PROJECT_NAME"
  lines=$(cat)
  page=$(setting FLOWER_BASIC_AUTH)
  if [[ ! -f .env ]]; then record "env file"; elif ! recorded "env file"; then record "env lines"; fi
  # a name given for this run alone would be lost on the next command, here and where .env is
  if [[ -n ${COMPOSE_PROJECT_NAME:-} ]]; then remember project "$COMPOSE_PROJECT_NAME"; fi
  {
    if [[ -f .env ]]; then without_our_lines | sed -E "s/^(${keys// /|})=/$SET_ASIDE&/"; fi
    printf '%s\n' "$BEGIN"
    printf '# More settings, each explained, are in .env.example.\n'
    printf '%s\n' "$lines"
    printf 'FLOWER_BASIC_AUTH=%s\n' "${page:-monitor:$(new_password)}"
    build_lines
    if [[ -n ${COMPOSE_PROJECT_NAME:-} ]]; then printf 'COMPOSE_PROJECT_NAME=%s\n' "$COMPOSE_PROJECT_NAME"; fi
    printf '%s\n' "$END"
  } | replace_env
}

# Also where Docker does not answer.
project_name() { printf '%s\n' "${COMPOSE_PROJECT_NAME:-distributed-test}"; }

restore_env() { # undo write_env
  if [[ ! -f .env ]] || [[ -z $(recorded_names env) ]]; then return; fi
  if recorded "env file" && [[ -z $(without_our_lines) ]]; then
    rm -f -- .env
    say "removed .env"
  else
    without_our_lines | replace_env
    say "removed our lines from .env and kept yours"
  fi
}
