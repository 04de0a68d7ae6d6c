# System services: RabbitMQ and the Docker engine, by systemd, Homebrew or neither. Sourced by setup.sh.
# shellcheck shell=bash

booted_by_systemd() { [[ -d /run/systemd/system ]]; } # sd_booted(3)

service_manager() {
  if on_macos; then
    printf 'brew services\n'
  elif booted_by_systemd; then
    printf 'systemd\n'
  else
    printf 'no systemd\n'
  fi
}

start_command() { # start_command rabbitmq|docker: as a user would type it
  case $(service_manager)-$1 in
    'brew services-rabbitmq') printf 'brew services start rabbitmq' ;;
    'brew services-docker') printf 'open -a Docker' ;;
    systemd-rabbitmq) printf 'systemctl start rabbitmq-server' ;;
    systemd-docker) printf 'systemctl start docker' ;;
    # not through su, as the package's command does for root: PAM would set the limit of open files anew
    *-rabbitmq) printf 'setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups --reset-env /usr/sbin/rabbitmq-server -detached' ;;
    *-docker) printf 'dockerd' ;;
  esac
}

start_service() { # start_service rabbitmq|docker: the one place that speaks to a service manager
  local command
  command=$(start_command "$1")
  on_macos || as_root true # a password is asked for before the time taken is shown
  case $command in
    dockerd) as_root sh -c 'setsid nohup dockerd >/var/log/dockerd.log 2>&1 </dev/null &' ;; # outlives this script
    *)
      # quorum queues hold files; at the usual 1,024 a dozen virtual hosts are the end
      if [[ $command == setpriv* ]]; then ulimit -n "$(ulimit -Hn)"; fi
      # the words of the command
      # shellcheck disable=SC2086
      quietly "the start of $1" as_owner $command
      ;;
  esac
}
