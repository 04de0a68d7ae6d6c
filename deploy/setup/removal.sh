# clean and uninstall: undo what was done here, and nothing else. Sourced by setup.sh.
# shellcheck shell=bash

readonly RESULTS=(-name 'dispatch_results_*.json' -o -name 'load_results_*.json' -o -name .runs)

clean() {
  need_an_answer clean
  say "this removes the containers and images of this project, .venv and caches"
  say "it keeps .env and the broker's users (./setup.sh uninstall removes those too)"
  if [[ $dry_run == yes ]]; then
    say "a dry run: nothing was changed"
    return
  fi
  ask "Remove them?" || fail 130 "nothing was removed" "the answer was no" "./setup.sh clean"
  remove_containers
  remove_files
  say "clean"
}

uninstall() {
  need_an_answer uninstall
  if [[ -f $STATE ]]; then
    say "install made or changed:"
    list_changes
  fi
  say "this removes all of it (packages and services: asked separately), containers, images, .venv and caches"
  if [[ $dry_run == yes ]]; then
    say "a dry run: nothing was changed"
    return
  fi
  ask "Remove them?" || fail 130 "nothing was removed" "the answer was no" "./setup.sh uninstall"
  remove_containers
  remove_from_broker
  restore_env
  remove_files
  leave_or_remove_packages
  rm -f -- "$STATE"
  say "uninstalled"
}

remove_containers() {
  local image
  if ! docker_answers || ! find_compose; then
    if recorded containers; then
      fail 69 "the containers cannot be removed" "Docker or Compose does not answer" "$(start_command docker), then again" no-docker
    fi
    return
  fi
  refuse_foreign_containers
  say "removing containers, network and images of this project"
  # "local": images without a name of their own, which are those that Compose built here
  quietly "docker compose down" compose --profile monitoring down --rmi local --remove-orphans
  for image in $(docker images --quiet --filter dangling=true --filter "label=com.docker.compose.project=$(project)"); do
    quietly "docker image rm" docker image rm "$image" # an older build of ours, which lost its name to a newer one
  done
  forget containers
  forget image-sources
}

remove_from_broker() {
  local name
  if [[ -z $(recorded_names user)$(recorded_names vhost)$(recorded_names management) ]]; then return; fi
  if ! broker_is_ready; then
    fail 69 "users and virtual host cannot be removed" "RabbitMQ does not answer" "$(start_command rabbitmq), then again" no-broker
  fi
  read_broker
  for name in $(recorded_names user); do
    if ! knows "user $name"; then continue; fi
    say "removing the user $name"
    rabbitmq ctl delete_user "$name"
  done
  for name in $(recorded_names vhost); do
    if ! knows "vhost $name"; then continue; fi
    say "removing the virtual host $name"
    rabbitmq ctl delete_vhost "$name"
  done
  for name in $(recorded_names management); do disable_management "$name"; done
}

remove_files() {
  local results
  results=$(find . -maxdepth 1 \( "${RESULTS[@]}" \) | sort)
  if [[ -n $results ]]; then
    if ask "Remove the results of $(wc -l <<<"$results" | tr -d ' ') runs as well?"; then
      find . -maxdepth 1 \( "${RESULTS[@]}" \) -exec rm -rf -- {} +
    else
      say "kept the results"
    fi
  fi
  say "removing caches"
  find . \( -path ./.git -o -path ./.venv \) -prune -o -type d \( -name __pycache__ -o -name .pytest_cache \
    -o -name .mypy_cache -o -name .ruff_cache -o -name .hypothesis \) -prune -exec rm -rf -- {} +
  if [[ -e .venv/.made-by-setup ]]; then
    say "removing .venv"
    rm -rf -- .venv
    forget venv
  elif [[ -e .venv ]]; then
    say "kept .venv: it was not made here"
  fi
}

leave_or_remove_packages() {
  local packages services
  services=$(recorded_names service | paste -s -d ' ' -)
  if [[ -n $services ]]; then say "left running, since others may use it by now: $services"; fi
  packages=$(recorded_names package | paste -s -d ' ' -)
  if [[ -z $packages ]]; then
    say "no system package was installed, so none is removed"
    return
  fi
  if [[ $remove_packages == yes ]] || { [[ $yes == no ]] && ask "Also remove the packages $packages? Others may use them by now."; }; then
    # shellcheck disable=SC2086 # names of packages
    quietly "the removal" package remove $packages
    say "removed the packages $packages"
  else
    say "left the packages that install installed: $packages (--packages removes them)"
  fi
}
