#!/bin/sh
# Installs what a command in package.json needs: the npm packages of the lock file, and the tools named as arguments.
#
#   sh test/setup.sh [ip] [ping] [iperf3] [unshare] [sysctl] [nft] [iptables] [dnsmasq] [busybox] [curl] [systemd] [openrc] [cron]
#                     [faketime] [libcrypto] [libgcrypt] [qemu] [arm64-libc] [qemu-system] [xz] [debian-keys]
#
# Silent when everything is there. Changes nothing but node_modules and, as root on a Debian-like system, the set of
# installed packages. Speaks on stderr only, so that a command's own output stays clean.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

say() { echo "setup: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

# Is the tool there? Asked of the file system, not of dpkg: it may have come another way.
have() {
  case $1 in
    libcrypto | libgcrypt)
      case $1 in libcrypto) file=libcrypto.so.3 ;; *) file=libgcrypt.so.20 ;; esac
      set -- /lib/*/$file /usr/lib/*/$file /usr/lib*/$file
      for file; do if [ -e "$file" ]; then return 0; fi; done
      return 1 ;;
    # The program that can be a machine's first process, which a container has no use for.
    systemd) [ -x /lib/systemd/systemd ] ;;
    # An arm64 machine runs its own programs.
    qemu) [ "$(uname -m)" = aarch64 ] || command -v qemu-aarch64-static >/dev/null || command -v qemu-aarch64 >/dev/null ;;
    arm64-libc) [ "$(uname -m)" = aarch64 ] || [ -e /usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1 ] ;;
    qemu-system) command -v qemu-system-aarch64 >/dev/null ;;
    debian-keys) [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

package_of() {
  case $1 in
    ip) echo iproute2 ;;
    ping) echo iputils-ping ;;
    iperf3) echo iperf3 ;;
    unshare) echo util-linux ;;
    sysctl) echo procps ;;
    nft) echo nftables ;;
    iptables) echo iptables ;;
    dnsmasq) echo dnsmasq-base ;;
    busybox) echo busybox ;;
    curl) echo curl ;;
    systemd) echo systemd ;;
    openrc) echo openrc ;;
    cron) echo cron ;;
    faketime) echo faketime ;;
    libcrypto) echo libssl3 ;;
    libgcrypt) echo libgcrypt20 ;;
    qemu) echo qemu-user-static ;;
    arm64-libc) echo libc6-arm64-cross ;;
    qemu-system) echo qemu-system-arm ;;
    xz) echo xz-utils ;;
    debian-keys) echo debian-archive-keyring ;;
    *) fail "test/setup.sh knows no tool named $1" ;;
  esac
}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null >/dev/null; }

install_tools() {
  packages=
  for tool; do
    package=$(package_of "$tool")
    if ! have "$tool"; then packages="$packages $package"; fi
  done
  if [ -z "$packages" ]; then return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    fail "please install these packages (Debian names), then try again:$packages"
  fi
  say "installing Debian packages:$packages"
  # The package lists may be missing (container images) or old: then fetch them, once.
  # shellcheck disable=SC2086 # one argument per package
  apt install -y --no-install-recommends --no-remove $packages 2>/dev/null ||
    { apt update && apt install -y --no-install-recommends --no-remove $packages; } ||
    fail "apt-get could not install:$packages"
}

# npm's record of an installation is younger than the lock file if the lock file has not changed since.
install_packages() {
  # A link: somebody else's folder, which npm would empty.
  if [ -L node_modules ]; then return; fi
  if [ node_modules/.package-lock.json -nt package-lock.json ]; then return; fi
  say "installing npm packages"
  npm ci --include=dev --include=optional --no-audit --no-fund --loglevel=error </dev/null >&2 ||
    fail "npm ci failed (its message is above)"
}

# The npm package of bun puts the program in its place by an install script, which npm may be configured not to run.
place_bun() {
  if node_modules/.bin/bun --version >/dev/null 2>&1; then return; fi
  (cd node_modules/bun && node install.js </dev/null >&2) || true
  node_modules/.bin/bun --version >/dev/null 2>&1 || fail "bun does not start; remove node_modules and try again"
}

install_packages
place_bun
install_tools "$@"
