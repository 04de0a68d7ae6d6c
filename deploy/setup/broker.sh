# RabbitMQ: the virtual host, the users, the least permissions that Celery needs. Sourced by setup.sh.
# shellcheck shell=bash

readonly ROLES="dispatcher worker monitor" # each has a user of its own

# Runs with each role's URL in its environment: whether its user and password are taken, where the virtual host is.
readonly USERS_PROBE='
import os
from kombu import Connection
for key in ("BROKER_URL", "WORKER_BROKER_URL", "MONITOR_BROKER_URL"):
    with Connection(os.environ[key].replace("host.docker.internal", "localhost"), connect_timeout=5) as connection:
        connection.connect()
'

# A call of rabbitmqctl or Python takes a second, so what each step compares is asked for once.
GRANTED= # a line for each user with permissions on the virtual host
USERS=   # of the broker, one a line
QUEUES=  # the app's, as alternatives of a regular expression

read_granted() { GRANTED=$(rabbitmq ctl --silent list_permissions --vhost "$VHOST" 2>/dev/null); }

read_queues() {
  QUEUES=${QUEUES:-$(.venv/bin/python -c 'from celery_app import app; print("|".join(q.name for q in app.conf.task_queues))')}
}

# What a role's user may configure, write and read.
permissions_of() { # permissions_of ROLE: three lines
  local dead topology control='(.*\.)?celery\.pidbox' replies='dispatch\..*|[0-9a-f-]{36}'
  read_queues
  dead=$(printf '%s' "$QUEUES" | sed -e 's/|/\\.dead|/g' -e 's/$/\\.dead/')
  # declared, and bound to each other, by whichever worker starts first
  topology="$QUEUES|$dead|results\.dead|tasks|dead|$control"
  if [[ $1 == worker ]]; then
    printf '^(%s)$\n' "$topology|celery_delayed_.*|celeryev"
    # amq.default: results, to the caller's reply queue; celeryev: events, where they are on
    printf '^(%s)$\n' "amq\.default|$topology|celery_delayed_.*|celeryev"
    printf '^(%s)$\n' "$QUEUES|tasks|dead|celery_delayed_.*|$control"
  elif [[ $1 == monitor ]]; then
    # events, and remote control, without which Flower's receiver of events does not start (celery/events/receiver.py)
    printf '^(%s)$\n' "celeryev(\..+)?|$control"
    printf '^(%s)$\n' 'celeryev\..+|celery\.pidbox|.*\.reply\.celery\.pidbox'
    printf '^(%s)$\n' 'celeryev(\..+)?|(.*\.)?reply\.celery\.pidbox'
  else
    printf '^(%s)$\n' "$topology|$replies"
    printf '^(%s)$\n' "amq\.default|$topology|celery_delayed_.*|$replies"
    printf '^(%s)$\n' "$topology|$replies"
  fi
}

found_vhost() {
  FOUND="the virtual host $VHOST exists"
  TODO="create the virtual host $VHOST"
  has rabbitmqctl && broker_answers && read_granted # fails where there is no such virtual host
}

# The list first, then the search: rabbitmqctl fails when `grep -q` leaves before it has read all.
vhost_exists() {
  local vhosts
  vhosts=$(rabbitmq ctl --silent list_vhosts name)
  grep -qxF -e "$1" <<<"$vhosts"
}

user_exists() {
  USERS=${USERS:-$(rabbitmq ctl --silent list_users | cut -f 1)}
  grep -qxF -e "$1" <<<"$USERS"
}

do_vhost() {
  say "creating the virtual host $VHOST"
  record "vhost-name $VHOST"
  record "vhost $VHOST"
  rabbitmq ctl add_vhost "$VHOST"
}

# with_password PASSWORD COMMAND USER: through standard input, for an argument could be read in `ps`.
# No option beside: with one, rabbitmqctl 3.13 and later waits for a password that it does not read [tried: 4.0].
with_password() { printf '%s\n' "$1" | as_owner rabbitmqctl "$2" "$3" >/dev/null; }

password_works() { # password_works ROLE
  local password
  password=$(password_in_env "$1")
  [[ -n $password ]] && with_password "$password" authenticate_user "$USER_PREFIX-$1" 2>/dev/null
}

permissions_are_set() { # permissions_are_set ROLE
  local wanted
  wanted=$(permissions_of "$1" | paste -s -)
  grep -qxF -e "$USER_PREFIX-$1	$wanted" <<<"$GRANTED"
}

users_connect() {
  BROKER_URL=$(setting BROKER_URL) WORKER_BROKER_URL=$(setting WORKER_BROKER_URL) \
    MONITOR_BROKER_URL=$(setting MONITOR_BROKER_URL) .venv/bin/python -c "$USERS_PROBE" >/dev/null 2>&1
}

found_users() {
  local role
  FOUND="the users $USER_PREFIX-{${ROLES// /,}} have their passwords and permissions"
  TODO="create or mend the users $USER_PREFIX-{${ROLES// /,}}: passwords generated, permissions on $VHOST alone"
  if ! has rabbitmqctl || ! broker_answers; then return 1; fi
  for role in $ROLES; do refuse_foreign_user "$role"; done
  deploy/setup/venv.sh --check requirements.txt || return 1
  read_queues
  for role in $ROLES; do
    if [[ -z $(password_in_env "$role") ]] || ! permissions_are_set "$role"; then return 1; fi
  done
  users_connect
}

# A user that exists, that we did not make and whose password .env does not hold may serve another copy.
refuse_foreign_user() {
  local user=$USER_PREFIX-$1
  if [[ -n $(password_in_env "$1") ]] || recorded "user $user" || ! user_exists "$user"; then return; fi
  fail 69 "the broker has a user $user that this folder knows nothing of" \
    "another copy of this project may use it: a new password would lock that copy out" \
    "copy its .env here; or SETUP_VHOST=other SETUP_USER_PREFIX=other ./setup.sh"
}

do_users() {
  local role
  for role in $ROLES; do refuse_foreign_user "$role"; done # the broker may have been down when the plan was made
  record "user-prefix $USER_PREFIX"
  read_granted
  read_queues
  write_settings # first: a user whose password is lost is of no use
  for role in $ROLES; do do_user "$role" "$(password_in_env "$role")"; done
}

do_user() { # do_user ROLE PASSWORD
  local user=$USER_PREFIX-$1 configure write read
  if ! user_exists "$user"; then
    say "creating the user $user"
    record "user $user"
    with_password "$2" add_user "$user"
  elif ! password_works "$1"; then
    say "setting the password of $user to the one in .env"
    with_password "$2" change_password "$user"
  fi
  if permissions_are_set "$1"; then return; fi
  say "giving $user its permissions on $VHOST"
  {
    read -r configure
    read -r write
    read -r read
  } < <(permissions_of "$1")
  rabbitmq ctl set_permissions --vhost "$VHOST" "$user" "$configure" "$write" "$read"
}

# --- the management page ---

management_conf() {
  if on_macos; then printf '%s/etc/rabbitmq/conf.d' "$(brew --prefix)"; else printf '/etc/rabbitmq/conf.d'; fi
  printf '/90-distributed-test.conf\n'
}

management_enabled() {
  local plugins
  plugins=$(rabbitmq plugins list --enabled --minimal --silent 2>/dev/null)
  grep -qx rabbitmq_management <<<"$plugins"
}

enable_management() {
  local conf directory
  conf=$(management_conf)
  directory=$(dirname "$conf")
  say "serving the management page on http://localhost:15672, for this machine only (sign in as guest)"
  record "management $conf"
  if [[ ! -d $directory ]]; then record "management-directory $directory"; fi
  as_owner mkdir -p "$directory"
  printf 'management.tcp.ip = 127.0.0.1\n' | as_owner tee "$conf" >/dev/null # for the next start of the broker
  # for now, without a restart
  rabbitmq ctl eval 'application:set_env(rabbitmq_management, tcp_config, [{port, 15672}, {ip, "127.0.0.1"}]).' >/dev/null
  rabbitmq plugins enable rabbitmq_management >/dev/null
}

disable_management() { # disable_management CONF
  say "disabling the management page"
  rabbitmq plugins disable rabbitmq_management >/dev/null
  as_owner rm -f -- "$1"
  if recorded "management-directory $(dirname "$1")"; then as_owner rmdir -- "$(dirname "$1")"; fi
}
