#!/bin/sh
# Installs what a fresh Debian machine lacks: Debian packages, then npm packages. Quick when nothing is missing.
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

packages=""
for package in $(sed 's/#.*//' scripts/debian-packages.txt); do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || packages="$packages $package"
done
if [ -n "$packages" ]; then
  say "installing Debian packages:$packages"
  # shellcheck disable=SC2086 # one word per package is meant
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >build-apt.log 2>&1; then
    say "refreshing the package lists"
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } >build-apt.log 2>&1; then
      tail -n 5 build-apt.log >&2
      fail "could not install$packages; build-apt.log has it all"
    fi
  fi
  rm -f build-apt.log
fi

# npm ci wipes node_modules, so it runs only when the lock file changed since the last one.
stamp=node_modules/.tessera-lock
if ! cmp -s package-lock.json "$stamp" 2>/dev/null; then
  say "installing npm packages"
  npm ci --loglevel=error --foreground-scripts=false >&2 || fail "npm ci failed"
  cp package-lock.json "$stamp"
fi
[ -x node_modules/node/bin/node ] || fail "npm did not install its own Node.js (package 'node'): are install scripts allowed?"
