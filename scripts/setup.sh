#!/bin/sh
# Makes sure that what a build and its tests need is here; says nothing when it is.
# Installs what is missing when it may, else names the one command to type.
set -eu
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null 2>&1; }

# cc: the TLS library and the allocator; bash: scripts/rustc.sh; cmake and make: zlib-ng; python3, curl: tests and suites; redis-server: tests of
# limits that several gateways share.
missing=""
for tool in cc bash cmake make python3 curl redis-server; do
  has "$tool" || missing="$missing $tool"
done

# package MANAGER TOOL: what the package with that tool is called there.
package() {
  case "$1:$2" in
    apt-get:cc) echo gcc libc6-dev ;;
    dnf:cc) echo gcc glibc-devel ;;
    apk:cc) echo gcc musl-dev linux-headers ;;
    pacman:cc) echo gcc ;;
    brew:cc) echo llvm ;;
    brew:python3 | pacman:python3) echo python ;;
    dnf:redis-server | apk:redis-server | pacman:redis-server | brew:redis-server) echo redis ;;
    *) echo "$2" ;;
  esac
}

install_missing() {
  for manager in apt-get dnf apk pacman brew none; do
    has "$manager" && break
  done
  if [ "$manager" = none ]; then
    echo "setup: please install:$missing" >&2
    exit 1
  fi
  packages=""
  for tool in $missing; do
    packages="$packages $(package "$manager" "$tool")"
  done
  case "$manager" in
    apt-get) command="apt-get install -y --no-install-recommends$packages" ;;
    dnf) command="dnf install -y$packages" ;;
    apk) command="apk add --no-cache$packages" ;;
    pacman) command="pacman -S --needed --noconfirm$packages" ;;
    brew) command="brew install$packages" ;;
  esac
  sudo=""
  if [ "$manager" != brew ] && [ "$(id -u)" -ne 0 ]; then
    sudo="sudo "
    if ! has sudo || ! sudo -n true 2>/dev/null; then
      echo "setup: please type: sudo $command" >&2
      exit 1
    fi
  fi
  echo "setup: $sudo$command" >&2
  if [ "$manager" = apt-get ]; then
    ${sudo}apt-get update -qq >&2 || true
    sudo_env="env DEBIAN_FRONTEND=noninteractive"
  else
    sudo_env=""
  fi
  # Words on purpose: a command line made above.
  # shellcheck disable=SC2086
  if ! $sudo $sudo_env $command >&2; then
    echo "setup: that failed; please type: $sudo$command" >&2
    exit 1
  fi
}

[ -z "$missing" ] || install_missing

# The compiler that rust-toolchain.toml pins; rustup does not fetch it by itself everywhere.
channel=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)
if ! has cargo; then
  echo "setup: Rust is missing, please see https://rustup.rs" >&2
  exit 1
fi
if has rustup; then
  if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    echo "setup: installing Rust $channel" >&2
    rustup toolchain install "$channel" --profile minimal --component rustfmt --component clippy >&2
  fi
else
  have=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/')
  oldest=$(printf '%s\n%s\n' "$have" "$channel" | sort -t. -k1,1n -k2,2n -k3,3n | sed -n 1p)
  if [ "$oldest" != "$channel" ]; then
    echo "setup: Rust $channel or newer is needed, this is $have; please see https://rustup.rs" >&2
    exit 1
  fi
fi
