# Steps that take long: their last line of output and the time taken, while they run. Sourced by setup.sh.
# shellcheck shell=bash

log=$(mktemp) # the output of the command that runs
readonly log
trap 'rm -f -- "$log" "$log".*' EXIT

on_screen() { [[ -t 1 && ${TERM:-dumb} != dumb ]]; }

# Until it is ended: on a terminal one line that is rewritten each second, elsewhere a line each 15 s.
show_progress() {
  local passed=0 last
  while sleep 1 >/dev/null 2>&1 && kill -0 "$$" 2>/dev/null; do # the second: set-up was interrupted
    passed=$((passed + 1))
    last=$(tail -n 1 "$log" | tr -d '\r' | cut -c 1-64)
    if on_screen; then
      printf '\r\033[K    %s s  %s' "$passed" "$last"
    elif ((passed % 15 == 0)); then
      printf '    %s s  %s\n' "$passed" "$last"
    fi
  done
}

with_progress() { # with_progress COMMAND...: ends as the command does, which stays in the foreground for Ctrl-C
  local code=0 progress
  show_progress &
  progress=$!
  "$@" || code=$?
  kill "$progress" 2>/dev/null || true
  wait "$progress" 2>/dev/null || true
  if on_screen; then printf '\r\033[K'; fi
  return "$code"
}

logged() { "$@" >"$log" 2>&1; }

quietly() { # quietly WHAT COMMAND...: show the output only when the command fails
  local what=$1
  shift
  if with_progress logged "$@"; then return; fi
  cat "$log" >&2
  fail 69 "$what failed" "see the output above" "mend that, then run ./setup.sh again" step-failed
}

until_true() { # until_true SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then return 1; fi
    sleep 0.5
  done
}

wait_for() { # wait_for SECONDS COMMAND...: true as soon as the command is
  : >"$log"
  with_progress until_true "$@"
}
