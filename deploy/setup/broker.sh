# RabbitMQ: the virtual host, the users, the least permissions that Celery needs. Sourced by setup.sh.
# shellcheck shell=bash

readonly ROLES="dispatcher worker monitor" # each has a user of its own

# For the node: what is known of virtual hosts and users, by the functions behind rabbitmqctl's own list_vhosts,
# list_users, list_permissions and authenticate_user [tried on 3.10.8 and 4.0.5]. Vhost and Logins come before it.
readonly BROKER_QUESTION='
[io:format("vhost ~ts~n", [Name]) || Name <- rabbit_vhost:list_names()],
[io:format("user ~ts~n", [proplists:get_value(user, User)]) || User <- rabbit_auth_backend_internal:list_users()],
[io:format("login ~ts~n", [Name]) || {Name, Password} <- Logins,
  element(1, rabbit_access_control:check_user_pass_login(Name, base64:decode(Password))) =:= ok],
[io:format("granted ~ts\t~ts\t~ts\t~ts~n", [proplists:get_value(Key, One) || Key <- [user, configure, write, read]])
  || One <- try rabbit_auth_backend_internal:list_vhost_permissions(Vhost) catch _:_ -> [] end].
'

# The names of the queues of the app, for a regular expression; a mistake in celery_app.py is told by file and line.
readonly QUEUES_QUESTION='
from pathlib import Path
from harness.app_import import load_app
from harness.command import told
def tell():
    print("|".join(queue.name for queue in load_app("celery_app", Path.cwd()).conf.task_queues))
raise SystemExit(told(tell, prog="setup.sh"))
'

# A call of rabbitmqctl or Python takes half a second, so all that the steps compare is asked for in one of each.
KNOWN=  # a line for each virtual host, user, login (a role whose password is that of .env) and grant on our virtual host
QUEUES= # of the app, as alternatives of a regular expression

queue_names() { .venv/bin/python -c "$QUEUES_QUESTION"; }

read_queues() { QUEUES=${QUEUES:-$(queue_names)} || exit; }

# Those that the permissions were given for; whether the app has others by now, operate.py judges.
recall_queues() {
  QUEUES=$(recorded_names queues)
  QUEUES=${QUEUES:-$(queue_names 2>/dev/null)}
}

# On standard input, for an argument could be read in `ps`; without an option, as in with_password.
read_broker() {
  local role password logins=
  for role in $ROLES; do
    password=$(password_in_env "$role")
    logins="$logins${logins:+, }{<<\"$USER_PREFIX-$role\">>, \"$(printf '%s' "$password" | base64 | tr -d '\n')\"}"
  done
  KNOWN=$(printf 'Vhost = <<"%s">>, Logins = [%s], %s' "$VHOST" "$logins" "$BROKER_QUESTION" | as_owner rabbitmqctl eval 2>/dev/null)
}

knows() { grep -qxF -e "$1" <<<"$KNOWN"; } # knows LINE

# What a role's user may configure, write and read.
permissions_of() { # permissions_of ROLE: three lines
  local dead topology control='(.*\.)?celery\.pidbox' replies='dispatch\..*|[0-9a-f-]{36}'
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
  has rabbitmqctl && broker_answers && read_broker && knows "vhost $VHOST"
}

do_vhost() {
  say "creating the virtual host $VHOST"
  remember vhost-name "$VHOST"
  record "vhost $VHOST"
  rabbitmq ctl add_vhost "$VHOST"
}

# with_password PASSWORD COMMAND USER: through standard input, for an argument could be read in `ps`.
# No option beside: with one, rabbitmqctl 3.13 and later waits for a password that it does not read [tried: 4.0].
with_password() { printf '%s\n' "$1" | as_owner rabbitmqctl "$2" "$3" >/dev/null; }

permissions_are_set() { # permissions_are_set ROLE
  local wanted
  wanted=$(permissions_of "$1" | paste -s -)
  knows "granted $USER_PREFIX-$1	$wanted"
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
    if [[ -z $(password_in_env "$role") ]] || ! knows "login $USER_PREFIX-$role" || ! permissions_are_set "$role"; then return 1; fi
  done
}

# A user that exists, that we did not make and whose password .env does not hold may serve another copy.
refuse_foreign_user() {
  local user=$USER_PREFIX-$1
  if [[ -n $(password_in_env "$1") ]] || recorded "user $user" || ! knows "user $user"; then return; fi
  fail 69 "the broker has a user $user that this folder knows nothing of" \
    "another copy of this project may use it: a new password would lock that copy out" \
    "copy its .env here; or SETUP_VHOST=other SETUP_USER_PREFIX=other ./setup.sh" another-copy
}

do_users() {
  local role
  read_broker # again: it may have been down when the plan was made
  for role in $ROLES; do refuse_foreign_user "$role"; done
  read_queues
  remember user-prefix "$USER_PREFIX"
  write_settings # first: a user whose password is lost is of no use
  for role in $ROLES; do do_user "$role" "$(password_in_env "$role")"; done
  remember queues "$QUEUES"
}

do_user() { # do_user ROLE PASSWORD
  local user=$USER_PREFIX-$1 configure write read
  if ! knows "user $user"; then
    say "creating the user $user"
    record "user $user"
    with_password "$2" add_user "$user"
  elif ! knows "login $user"; then
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
