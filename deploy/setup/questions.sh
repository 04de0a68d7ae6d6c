# What is asked on a terminal: each question explains itself and shows its default, which Enter takes. Sourced by setup.sh.
# shellcheck shell=bash

ask() { # ask QUESTION [yes]: true when the answer is yes; the default is no, unless given; --yes answers for the user
  local answer default=${2:-no} choice='[y/N]'
  if [[ $yes == yes ]]; then return 0; fi
  if [[ $default == yes ]]; then choice='[Y/n]'; fi
  printf '%s %s ' "$1" "$choice"
  read -r answer || answer=no
  [[ ${answer:-$default} == [yY]* ]]
}

need_an_answer() {
  if [[ $yes == yes || $dry_run == yes || $interactive == yes ]]; then return; fi
  fail 2 "this would change the machine and cannot ask first" "standard input is no terminal" \
    "./setup.sh $1 --yes   (--dry-run shows what it would do)"
}

asks() { [[ $interactive == yes && $yes == no && $dry_run == no ]]; }

enter() { # enter VARIABLE QUESTION DEFAULT: an answer becomes its value; Enter leaves it, and DEFAULT says what an empty one means
  local answer shown
  shown=$(printf '%s\n' "${!1:-$3}" | without_password)
  printf '%s [%s] ' "$2" "$shown"
  read -r answer || answer=
  if [[ -n $answer ]]; then printf -v "$1" '%s' "$answer"; fi
}

ask_for_broker() {
  if ! asks || [[ -n $broker || -f $STATE || -f .env ]]; then return; fi
  say "RabbitMQ carries the tasks. It is set up here, unless you name one that others run: amqps://USER@HOST:5671/VHOST"
  enter broker "Which RabbitMQ?" "this machine"
  if [[ $broker == amqps://* && -z $authorities ]]; then
    enter authorities "File (PEM) of the authority that signed its certificate?" "the system's authorities"
  fi
}

ask_for_build() {
  if ! asks; then return; fi
  say "The image is made of a base image and of Python packages. Where the Internet cannot be reached, name your own."
  enter BASE_IMAGE "Base image, with Python 3.11 or newer?" python:3.13-slim
  enter PIP_INDEX_URL "Package index?" PyPI
  if [[ $PIP_INDEX_URL == https://* && -z $BUILD_CA ]]; then
    enter build_ca "File (PEM) of the authority that signed the index's or the proxy's certificate?" "the public authorities"
  fi
}
