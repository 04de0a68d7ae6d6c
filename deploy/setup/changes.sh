# What set-up made here, so that `uninstall` undoes that and nothing else. Sourced by setup.sh.
# shellcheck shell=bash

readonly STATE=.setup-state # a line for each thing: KIND NAME

recorded() { [[ -f $STATE ]] && grep -qxF "$1" "$STATE"; }

record() { if ! recorded "$1"; then printf '%s\n' "$1" >>"$STATE"; fi; }

remember() { # remember KIND NAME: the one of its kind
  if recorded "$1 $2"; then return; fi
  forget "$1"
  record "$1 $2"
}

recorded_names() { # recorded_names KIND: what was made of this kind, one a line
  if [[ -f $STATE ]]; then sed -n "s/^$1 //p" "$STATE"; fi
}

forget() { # forget KIND: drop all records of this kind
  local rest
  if [[ ! -f $STATE ]]; then return; fi
  rest=$(grep -v -e "^$1\$" -e "^$1 " "$STATE") || true
  if [[ -n $rest ]]; then printf '%s\n' "$rest" >"$STATE"; else rm -f -- "$STATE"; fi
}

all_records() { if [[ -f $STATE ]]; then cat "$STATE"; fi; }

list_changes() { # list_changes [RECORDS]: in words, what was recorded after these
  local kind name
  # in a pattern, each line is one; an empty one matches no record
  { all_records | grep -vxF -e "${1:-}" || true; } | while read -r kind name; do
    case $kind in
      package) printf '      system package: %s\n' "$name" ;;
      service) printf '      service started: %s\n' "$name" ;;
      venv) printf '      file: .venv\n' ;;
      env) if [[ $name == file ]]; then printf '      file: .env\n'; else printf '      lines in: .env\n'; fi ;;
      vhost) printf '      virtual host: %s\n' "$name" ;;
      user) printf '      broker user: %s\n' "$name" ;;
      management) printf '      management page, in: %s\n' "$name" ;;
      containers) printf '      containers, network, images: Compose project %s\n' "$(project_name)" ;;
    esac
  done
}
