# A RabbitMQ that others run (--broker URL): nothing is installed there, and no user or virtual host made; what it
# must have is checked, by declaring what the workers will. Sourced by setup.sh.
# shellcheck shell=bash

broker=$(recorded_names elsewhere) # amqps://USER@HOST:PORT/VHOST; empty: RabbitMQ is set up on this machine
authorities=                       # --broker-ca

# Runs with the broker settings of its environment.
readonly RIGHTS_PROBE='
import sys
from celery_app import app
from worker.topology import declare
try:
    with app.connection_for_write(connect_timeout=5) as connection:
        declare(connection.channel(), list(app.amqp.queues.values()))
except Exception as exc:
    sys.exit(f"{type(exc).__name__}: {exc}")
'

check_broker_option() {
  if [[ -z $broker ]]; then
    if [[ -n $authorities ]]; then
      fail 2 "--broker-ca without --broker" "a RabbitMQ on this machine is used without TLS" "./setup.sh --help"
    fi
  elif [[ $broker == *:*:*@* ]]; then # not shown: it holds a password
    fail 2 "--broker holds a password" "ps shows it to every user of this machine" \
      "--broker amqps://USER@HOST:5671/VHOST; the password is asked for, or taken from BROKER_PASSWORD"
  elif ! [[ $broker =~ ^amqps?://[^:@/]+@[^@/]+/[^/]*$ ]]; then
    fail 2 "--broker $broker cannot be used" "it is not of the form amqps://USER@HOST:PORT/VHOST" "./setup.sh --help"
  elif [[ -n $authorities && $broker != amqps://* ]]; then
    fail 2 "--broker-ca with an amqp:// URL" "the connection would not be encrypted" "--broker amqps://USER@HOST:5671/VHOST"
  elif [[ -n $authorities && ! -r $authorities ]]; then
    fail 2 "--broker-ca $authorities cannot be read" "there is no such file, or it is not yours to read" "ls -l $authorities"
  fi
  authorities=${authorities:+$(cd "$(dirname "$authorities")" && pwd)/$(basename "$authorities")}
  authorities=${authorities:-$(setting BROKER_CA)}
}

without_password() { sed -E 's|^([a-z]+://[^:@/]*):[^@]*@|\1@|'; }

found_elsewhere() {
  FOUND="the broker at $broker answers, and its user may do what is needed"
  TODO="check the broker at $broker and its user's rights; put its URL into .env (mode 600)"
  [[ $(setting BROKER_URL | without_password) == "$broker" && $(setting BROKER_CA) == "$authorities" ]] &&
    [[ $(mode_of .env) == 600 ]] && deploy/setup/venv.sh --check requirements.txt &&
    with_broker .venv/bin/python -c "$RIGHTS_PROBE" >/dev/null 2>&1
}

do_elsewhere() {
  local password url host name='' reason
  read_queues # a mistake in celery_app.py is none of the broker's
  password=$(broker_password) || exit
  url=${broker%%@*}:$password@${broker#*@}
  host=${broker#*@}
  host=${host%%[:/]*}
  case $broker in amqps://*@localhost* | amqps://*@127.0.0.1*) name=$host ;; esac # the containers' URL has another
  if ! reason=$(BROKER_URL=$url BROKER_CA=$authorities BROKER_TLS_NAME=$name .venv/bin/python -c "$RIGHTS_PROBE" 2>&1); then
    explain "$reason"
    fail 69 "the broker at $broker cannot be used" "$meaning" \
      "mend that there or in what you gave, then ./setup.sh again" "$place"
  fi
  say "the broker at $broker answers, and its user may do what is needed"
  remember elsewhere "$broker"
  {
    printf 'BROKER_URL=%s\n' "$url"
    case $host in localhost | 127.0.0.1) url=${url/@$host/@host.docker.internal} ;; esac
    printf 'WORKER_BROKER_URL=%s\nMONITOR_BROKER_URL=%s\n' "$url" "$url"
    printf 'BROKER_CA=%s\nBROKER_TLS_NAME=%s\n' "$authorities" "$name"
  } | write_env
  chmod 600 .env
}

# Of $broker's user, ready for a URL: from the environment, from .env, or asked for.
broker_password() {
  local password=${BROKER_PASSWORD:-}
  if [[ -z $password && $(setting BROKER_URL | without_password) == "$broker" ]]; then
    setting BROKER_URL | sed -E 's|^[a-z]+://[^:@/]*:([^@]*)@.*|\1|'
    return
  fi
  if [[ -z $password && $interactive == yes ]]; then
    printf 'Password of %s: ' "${broker%%@*}" >&2
    read -rs password
    printf '\n' >&2
  fi
  if [[ -z $password ]]; then
    fail 2 "the password of ${broker%%@*} is not known" "standard input is no terminal, and BROKER_PASSWORD is empty" \
      "BROKER_PASSWORD=... ./setup.sh --broker $broker --yes"
  fi
  printf '%s' "$password" | .venv/bin/python -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.stdin.read(), safe=""))'
}
