#!/usr/bin/env bash
# Create .venv and install a requirements file into it; with --check, say by exit code whether that is done.
# `make` and setup.sh both call this. Usage: deploy/setup/venv.sh [--check] requirements.txt
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly VENV=.venv
readonly MADE_HERE=$VENV/.made-by-setup # a virtual environment without this is the user's own
# new enough, and able to make a virtual environment with pip in it
readonly USABLE='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

# all that a requirements file, on standard input, pins is installed, for a Python that is new enough
readonly HOLDS='
import re, sys
from importlib import metadata
pins = re.findall(r"^([\w.-]+)==(\S+)", sys.stdin.read(), re.MULTILINE)
sys.exit(sys.version_info < (3, 11) or any(metadata.version(name) != release for name, release in pins))
'

# Print the name of a Python that can be used; false when there is none.
find_python() {
  local name
  for name in ${BASE_PYTHON:+"$BASE_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$name" -c "$USABLE" >/dev/null 2>&1; then
      printf '%s\n' "$name"
      return
    fi
  done
  return 1
}

wanted() { # what an installed requirements file comes to, with what it includes
  cat "$1"
  if grep -q '^-r requirements.txt$' "$1"; then cat requirements.txt; fi
}

usable_venv() { "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# The file that the last installation left tells that it came to its end, with what the pinned packages pull in.
is_done() { wanted "$1" | cmp -s - "$2" && wanted "$1" | "$VENV/bin/python" -c "$HOLDS" >/dev/null 2>&1; }

main() {
  local check=no python
  if [[ ${1:-} == --check ]]; then
    check=yes
    shift
  fi
  local requirements=${1:-requirements.txt}
  local stamp=$VENV/${requirements%.txt}.installed
  if [[ $requirements == --find ]]; then
    find_python
    return
  fi
  if is_done "$requirements" "$stamp"; then return; fi
  if [[ $check == yes ]]; then return 1; fi
  if ! usable_venv; then
    if [[ -e $VENV && ! -e $MADE_HERE ]]; then
      printf 'error: .venv cannot be used\n  why: it was not made here, and holds no Python 3.11 or newer\n  do:  %s\n' \
        "mv .venv .venv.old, then run this again" >&2
      return 69
    fi
    if ! python=$(find_python); then
      printf 'error: no usable Python\n  why: %s\n  do:  %s\n' \
        "Python 3.11 or newer with its venv module is needed; python3 here is: $(python3 -V 2>&1 || true)" \
        "./setup.sh installs it (on Debian and Ubuntu: apt install python3-venv), or make install BASE_PYTHON=/path/to/python  # docs/troubleshooting.md#no-python" >&2
      return 69
    fi
    printf '==> creating %s with %s\n' "$VENV" "$("$python" -V)"
    "$python" -m venv --clear "$VENV"
    touch "$MADE_HERE"
  fi
  printf '==> installing %s into %s\n' "$requirements" "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
  wanted "$requirements" >"$stamp" # last: a stopped install is tried again
}

main "$@"
