# System packages, by whichever manager this machine has: apt, dnf or Homebrew. Sourced by setup.sh.
# shellcheck shell=bash

apt_updated=no

package_manager() {
  local name
  if on_macos; then
    if has brew; then printf 'brew\n'; else printf 'none\n'; fi
    return
  fi
  for name in apt-get dnf; do
    if has "$name"; then
      printf '%s\n' "${name%-get}"
      return
    fi
  done
  printf 'none\n'
}

package() { # package is-installed|install|remove NAME...: the one place that speaks to a package manager
  local action=$1
  shift
  case $(package_manager)-$action in
    apt-is-installed) dpkg-query --show --showformat='${Status}' "$1" 2>/dev/null | grep -q 'ok installed' ;;
    apt-install)
      if [[ $apt_updated == no ]]; then as_root apt-get update --quiet=2; fi
      apt_updated=yes
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends "$@"
      ;;
    apt-remove) as_root apt-get remove --yes "$@" ;;
    dnf-is-installed) rpm --query --quiet "$1" ;;
    dnf-install) as_root dnf install --assumeyes --quiet "$@" ;;
    dnf-remove) as_root dnf remove --assumeyes "$@" ;;
    brew-is-installed) brew list "$1" >/dev/null 2>&1 ;;
    brew-install) brew install "$@" ;;
    brew-remove) brew uninstall "$@" ;;
    *) return 1 ;;
  esac
}

packages_of() { # packages_of python|rabbitmq|docker: their names, one a line
  case $(package_manager)-$1 in
    apt-python) printf 'python3\npython3-venv\n' ;;
    brew-python) printf 'python@3.13\n' ;;
    *-python) printf 'python3\n' ;;
    brew-rabbitmq) printf 'rabbitmq\n' ;;
    *-rabbitmq) printf 'rabbitmq-server\n' ;;
    apt-docker) printf 'docker.io\niptables\n' ;;
    brew-docker) printf 'docker-desktop\n' ;;
    *-docker) printf 'moby-engine\n' ;;
  esac
}

install_packages() {
  local name
  if [[ $(package_manager) == none ]]; then
    fail 69 "$* cannot be installed" "found none of apt, dnf and brew" "install that, then ./setup.sh again" no-package-manager
  fi
  for name in "$@"; do
    if package is-installed "$name"; then continue; fi
    on_macos || as_root true # a password is asked for before the time taken is shown
    say "installing the package $name"
    quietly "the installation of $name" package install "$name"
    record "package $name"
  done
}
