#!/bin/sh
# Installs what a fresh Debian machine lacks: Debian packages, then npm packages. Quick when nothing is missing.
# setup.sh --tests installs what the tests need as well.
# Every failure is one clear line on stderr.
set -eu
cd "$(dirname "$0")/.."

fail() {
  printf 'tessera: %s\n' "$1" >&2
  exit 1
}

say() { printf 'tessera: %s\n' "$1" >&2; }

[ "$(uname -s)" = Linux ] || fail "needs Linux; this is $(uname -s)"
[ "$(id -u)" = 0 ] || fail "needs root, for namespaces and mounts: try again with sudo"
command -v apt-get >/dev/null || fail "needs apt-get (Debian or Ubuntu) to install etcd-server, nats-server and a C compiler"
command -v npm >/dev/null || fail "needs npm: apt-get install npm"
grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || true
grep -qw overlay /proc/filesystems || fail "the kernel has no overlayfs (no 'overlay' in /proc/filesystems)"

lists=scripts/debian-packages.txt
[ "${1:-}" = --tests ] && lists="$lists scripts/debian-packages-test.txt"
packages=""
# shellcheck disable=SC2086 # one word per list is meant
for package in $(sed 's/#.*//' $lists); do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || packages="$packages $package"
done
# Debian starts a service as soon as its package is there; Tessera runs its own, and the machine keeps none.
without_services() {
  policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] && { "$@"; return; }
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  status=0
  "$@" || status=$?
  rm -f "$policy"
  if command -v systemctl >/dev/null; then systemctl disable -q etcd.service nats-server.service docker-registry.service 2>/dev/null || true; fi
  return "$status"
}

install_packages() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >dist/apt.log 2>&1
}

if [ -n "$packages" ]; then
  say "installing Debian packages:$packages"
  mkdir -p dist
  # shellcheck disable=SC2086 # one word per package is meant
  if ! without_services install_packages $packages; then
    say "refreshing the package lists"
    apt-get update -qq >&2 || fail "apt-get update failed"
    # shellcheck disable=SC2086
    without_services install_packages $packages || {
      tail -n 5 dist/apt.log >&2
      fail "could not install$packages; dist/apt.log has it all"
    }
  fi
fi

# npm ci wipes node_modules, so it runs only when the lock file changed since the last one.
stamp=node_modules/.tessera-lock
if ! cmp -s package-lock.json "$stamp" 2>/dev/null; then
  say "installing npm packages"
  npm ci --loglevel=error --foreground-scripts=false >&2 || fail "npm ci failed"
  cp package-lock.json "$stamp"
fi
[ -x node_modules/node/bin/node ] || fail "npm did not install its own Node.js (package 'node'): are install scripts allowed?"
