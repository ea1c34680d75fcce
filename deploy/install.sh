#!/bin/sh
# Installs Tessera on a machine with systemd, from the unpacked release archive that this script lies in. Needs no network.
set -eu

usage() {
  cat <<'USAGE'
Usage, as root, in the unpacked archive:

  ./install.sh control-plane [OPTION...] [-- FLAG...]
      --listen HOST:PORT        address of the Kubernetes API (default 0.0.0.0:6443)
      --node-listen HOST:PORT   address that agents dial (default 0.0.0.0:6444)
      --advertise HOST          further name or address for the certificate (repeatable)

  ./install.sh agent --join HOST:PORT --token TOKEN --ca-hash DIGEST [OPTION...] [-- FLAG...]
      --join HOST:PORT          address of the control plane's API
      --token TOKEN             or $TESSERA_JOIN_TOKEN; "tsctl join-token create" prints it, with the digest of the cluster's CA
      --ca-hash DIGEST
      --node-name NAME          name of the Node object (default: the host name)
      --node-address IP         address that other nodes reach this one at (default: the one that leads to the control plane)

  ./install.sh upgrade          put this release in the place of the installed one; pods do not notice
  ./install.sh uninstall --yes  end all pods of this machine and remove everything, data included; --keep-data keeps the data folders

FLAGs go to the program as they are: `/usr/lib/tessera/current/bin/agent serve --help` lists them. Run again, the first two change
what they are told to and upgrade in place.
USAGE
}

lib=/usr/lib/tessera
etc=/etc/tessera
units=/etc/systemd/system
node_data=/var/lib/tessera
node_run=/run/tessera
control_data=/var/lib/tessera-controlplane
pods_cgroup=tessera-pods.service
all_units='tessera-agent.service tessera-pods.service tessera-controlplane.service'

# What was refused; all of it is said before the script gives up.
faults=0
refuse() {
  printf 'install: %s\n' "$*" >&2
  faults=$((faults + 1))
}

fail() {
  refuse "$@"
  exit 1
}

give_up_if_refused() {
  [ "$faults" = 0 ] || exit 1
}

say() { printf 'install: %s\n' "$*"; }

# ---- what the machine must have ----

check_root() {
  [ "$(id -u)" = 0 ] || fail "must run as root, for units and namespaces: try again with sudo"
}

check_systemd() {
  [ -d /run/systemd/system ] || fail "systemd does not run this machine (no /run/systemd/system); PID 1 is $(cat /proc/1/comm)"
}

check_archive() {
  for file in SHA256SUMS VERSION ARCHITECTURE; do
    [ -r "$here/$file" ] || fail "$here is no unpacked release, or not all of it: $file cannot be read"
  done
  version=$(cat "$here/VERSION")
  if ! wrong=$(cd "$here" && sha256sum --check --quiet SHA256SUMS 2>&1); then
    refuse "the release in $here is damaged, unpack the archive again:"
    printf '%s\n' "$wrong" | grep -v '^sha256sum: WARNING' | sed 's/^/  /' >&2
    exit 1
  fi
}

check_architecture() {
  case $(uname -m) in
    x86_64) machine=x64 ;;
    aarch64) machine=arm64 ;;
    *) machine=$(uname -m) ;;
  esac
  built=$(cat "$here/ARCHITECTURE")
  [ "$machine" = "$built" ] || fail "this release is for $built, the machine is $machine ($(uname -m)): take the other archive"
}

check_kernel() {
  release=$(uname -r)
  major=${release%%.*}
  minor=${release#*.}
  minor=${minor%%[!0-9]*}
  [ "$major" -gt 5 ] || { [ "$major" = 5 ] && [ "$minor" -ge 14 ]; } ||
    refuse "the kernel is $release, Linux 5.14 or newer is needed"
}

has_filesystem() {
  grep -qw "$1" /proc/filesystems || modprobe -q "$1" 2>/dev/null && grep -qw "$1" /proc/filesystems
}

# Whether the kernel has the module: loaded, built in or to be had. Without the lists of its modules, as in a container, nobody can say.
has_module() { # MODULE
  lists=/lib/modules/$(uname -r)
  [ -d "/sys/module/$1" ] || [ ! -r "$lists/modules.dep" ] || cat "$lists/modules.dep" "$lists/modules.builtin" 2>/dev/null | grep -q "/$1\.ko"
}

check_network_modules() {
  missing=''
  for module in bridge veth vxlan nf_tables nft_chain_nat nft_nat nft_masq; do has_module "$module" || missing="$missing $module"; done
  [ -z "$missing" ] || refuse "the kernel lacks what the pod network is made of:$missing; take one that has these modules"
}

check_cgroups() {
  for controller in cpu memory pids; do
    if [ -r /sys/fs/cgroup/cgroup.controllers ]; then
      grep -qw "$controller" /sys/fs/cgroup/cgroup.controllers || missing_controller "$controller"
    else
      awk -v controller="$controller" '
        { for (i = 7; i <= NF; i++) if ($i == "-") break
          if ($(i + 1) == "cgroup" && ("," $(i + 3) ",") ~ ("," controller ",")) found = 1 }
        END { exit !found }' /proc/self/mountinfo || missing_controller "$controller"
    fi
  done
}

missing_controller() {
  hint=''
  [ "$1" = memory ] && hint='; some boards need cgroup_enable=memory on the kernel command line'
  refuse "the cgroup controller \"$1\" is not there, neither in cgroup v2 (/sys/fs/cgroup/cgroup.controllers) nor mounted as v1$hint"
}

check_programs() {
  missing=''
  for program in "$@"; do command -v "$program" >/dev/null || missing="$missing $program"; done
  [ -z "$missing" ] || refuse "not installed:$missing; on Debian: apt-get install util-linux systemd"
}

# Of the programs and libraries of this release, which of the machine's libraries they miss.
check_libraries() {
  for file in "$@"; do
    missing=$(ldd "$here/$file" 2>&1 | grep 'not found' || true)
    case $missing in
      '') continue ;;
      *GLIBC_*) refuse "$file needs a newer C library than this machine's glibc $(ldd --version | sed -n '1s/.* //p'); Debian 12 has one that will do" ;;
      *) refuse "$file needs libraries that this machine lacks; on Debian 12 or newer: apt-get install libnftables1 libseccomp2 libstdc++6" ;;
    esac
    printf '%s\n' "$missing" | sed 's/^[[:space:]]*/  /' >&2
  done
}

# The folder itself, or that above it which is there.
existing_folder() { # FOLDER
  folder=$1
  while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
  printf '%s' "$folder"
}

check_data_disk() {
  folder=$(existing_folder "$node_data")
  [ "$(stat -f -c %T "$folder")" != overlayfs ] ||
    refuse "$node_data would lie on an overlayfs, which cannot hold the writable layers of containers: mount a disk there"
}

# A release that is there already needs no more.
check_space() {
  is_placed && return
  folder=$(existing_folder "$lib")
  needed=$(du -sk "$here" | awk '{ print int($1 * 1.05 / 1024) + 1 }')
  free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1024) }')
  [ "$free" -ge "$needed" ] || refuse "$lib needs $needed MB, and its disk has $free MB left: make room there"
}

# What this script would write over, or remove one day, is its own or not there.
check_nobody_elses() {
  link=$(readlink /usr/bin/tsctl || true)
  [ ! -e /usr/bin/tsctl ] || [ "$link" = "$lib/current/bin/tsctl" ] || refuse "/usr/bin/tsctl is there already, and not from this installer: remove it"
  for folder in "$lib"/*; do
    [ ! -e "$folder" ] || [ -r "$folder/SHA256SUMS" ] || refuse "$folder is no release of Tessera: remove it"
  done
  for unit in $all_units; do
    path=$(systemctl show --property FragmentPath --value "$unit")
    case $path in
      '' | "$units/$unit") [ ! -L "$units/$unit" ] || refuse "$units/$unit is a link: unmask the unit, or remove it" ;;
      *) refuse "the unit $unit is there already, in $path: remove what has brought it" ;;
    esac
  done
}

# Of the control plane's user; nothing when there is none.
user_home() { getent passwd tessera | cut -d : -f 6; }

check_user() {
  home=$(user_home)
  [ -z "$home" ] || [ "$home" = "$control_data" ] || refuse "the user \"tessera\" is there already, with the home $home: it is the control plane's, so rename yours"
}

# Whether something listens at the port, by the kernel's tables: state 0A is LISTEN.
port_is_taken() {
  hex=$(printf '%04X' "$1")
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }'
}

# Whether the control plane that runs here listens at the port.
is_own_port() { # PORT
  case $(systemctl show --property ActiveState --value tessera-controlplane.service) in
    active | activating) grep -Eq -- "listen [^ ]*:$1( |\$)" "$etc/controlplane.env" ;;
    *) return 1 ;;
  esac
}

check_ports() { # HOST:PORT HOST:PORT
  [ "${1##*:}" != "${2##*:}" ] || refuse "--listen and --node-listen both have port ${1##*:}: choose two"
  for address in "$@"; do
    port=${address##*:}
    ! port_is_taken "$port" || is_own_port "$port" ||
      refuse "port $port is taken by another program (ss -ltnp says which): choose another with --listen or --node-listen"
  done
}

check_address() { # OPTION VALUE
  case $2 in
    *[!A-Za-z0-9.:_\[\]-]* | '' | *: | :*) fail "$1: \"$2\" is not HOST:PORT" ;;
  esac
  case ${2##*:} in
    "$2" | *[!0-9]*) fail "$1: \"$2\" is not HOST:PORT" ;;
  esac
}

# Words end up in a file that systemd splits at white space.
check_word() { # OPTION VALUE
  case $2 in
    '' | *[!A-Za-z0-9.:_/=,@%+-]*) fail "$1: \"$2\" is not a plain word" ;;
  esac
}

check_machine() {
  check_systemd
  check_archive
  check_architecture
  check_kernel
  check_programs sha256sum systemctl systemd-notify
  check_nobody_elses
  check_space
}

check_for_control_plane() {
  check_user
  check_programs setpriv systemd-sysusers
  check_libraries bin/node bin/etcd bin/nats-server
}

check_for_agent() {
  check_programs flock mount umount
  check_libraries bin/node lib/libtessera.so lib/node_modules/@koromix/koffi-linux-"$built"/linux_"$built"/koffi.node
  check_cgroups
  has_filesystem overlay || refuse "the kernel has no overlayfs (no \"overlay\" in /proc/filesystems, and modprobe cannot load it)"
  check_network_modules
  check_data_disk
}

# Whoever installs one of the two brings a new release to the other too.
check_for_installed() {
  if is_installed tessera-controlplane.service; then check_for_control_plane; fi
  if is_installed tessera-agent.service; then check_for_agent; fi
}

# ---- putting files into place ----

# Notes, before something of the service changes, that it has to be restarted for that: should this script be killed, its next run knows.
owe_restart() { # SERVICE
  mkdir -p "$lib"
  : >"$lib/.restart-$1"
}

owe_all_restarts() {
  for owed in $(installed_services); do owe_restart "$owed"; done
}

# Writes stdin to the file, which is the service's, unless it holds that already.
write_file() { # FILE SERVICE
  { cat >"$1.new" && chmod 644 "$1.new"; } || fail "$1 could not be written, as said above: run this again once that is mended"
  if cmp -s "$1.new" "$1"; then
    rm "$1.new"
  else
    owe_restart "$2"
    mv "$1.new" "$1"
  fi
}

is_placed() {
  [ "$here" = "$(readlink -f "$lib/$version" 2>/dev/null || true)" ] || cmp -s "$here/SHA256SUMS" "$lib/$version/SHA256SUMS"
}

# Writes stdin to the program's file of flags, and keeps the flags that it had until it runs with the new ones.
write_flags() { # PROGRAM
  [ ! -e "$etc/$1.env" ] || [ -e "$etc/$1.env.before" ] || cp -p "$etc/$1.env" "$etc/$1.env.before"
  write_file "$etc/$1.env" "tessera-$1.service"
}

# The version's own folder is complete or absent.
place_release() {
  is_placed && return
  rm -rf "$lib/.new" "$lib/.old"
  mkdir -p "$lib"
  mkdir -m 755 "$lib/.new"
  if ! { (cd "$here" && tar -cf - .) | tar -xf - -C "$lib/.new" --no-same-owner && chown -R 0:0 "$lib/.new" && sync -f "$lib/.new"; }; then
    rm -rf "$lib/.new"
    rmdir "$lib" 2>/dev/null || true
    fail "the release could not be copied to $lib, as said above: run this again once that is mended"
  fi
  # Another build of the same version: programs that run keep the files that they have open.
  if [ -e "$lib/$version" ]; then
    owe_all_restarts
    mv "$lib/$version" "$lib/.old"
  fi
  mv "$lib/.new" "$lib/$version"
  rm -rf "$lib/.old"
}

# In one step: whoever looks sees the old version or the new one.
switch_to() { # VERSION
  [ "$(readlink "$lib/current" 2>/dev/null || true)" != "$1" ] || return 0
  owe_all_restarts
  ln -sfn "$1" "$lib/.current"
  mv -T "$lib/.current" "$lib/current"
}

remove_other_versions() {
  for folder in "$lib"/* "$lib"/.new "$lib"/.old; do
    case $folder in
      "$lib/current" | "$lib/$version") ;;
      *) rm -rf "$folder" ;;
    esac
  done
}

# The service's own unit and those that it needs.
place_units() { # SERVICE
  case $1 in
    tessera-controlplane.service) systemd-sysusers "$lib/current/systemd/tessera.sysusers" ;;
    tessera-agent.service) write_file "$units/$pods_cgroup" "$1" <"$lib/current/systemd/$pods_cgroup" ;;
  esac
  write_file "$units/$1" "$1" <"$lib/current/systemd/$1"
  systemctl daemon-reload
}

is_installed() { # UNIT
  [ -e "$units/$1" ]
}

# In the order in which they are upgraded.
installed_services() {
  for one in tessera-controlplane.service tessera-agent.service; do
    if is_installed "$one"; then printf '%s\n' "$one"; fi
  done
}

# Starts the service, or restarts it when that is owed. Returns 1 when it does not get ready.
bring_up() { # SERVICE
  systemctl -q enable "$1" 2>/dev/null || return 1
  if [ -e "$lib/.restart-$1" ] || ! systemctl -q is-active "$1"; then
    systemctl restart "$1" || return 1
  fi
  rm -f "$lib/.restart-$1"
}

explain_failure() { # UNIT
  refuse "$1 does not get ready; the end of its log:"
  journalctl -q --no-pager -n 15 -u "$1" -o cat >&2 || true
}

# Switches to the release that has been placed and brings the service up, if one is named, and all that are installed: they share the release. After a
# failure the version and the flags that were there before run again.
apply() { # [SERVICE]
  before=$(readlink "$lib/current" 2>/dev/null || true)
  # What an earlier run that was killed has switched to did not prove itself.
  [ -z "$before" ] || [ -L "$lib/.before" ] || ln -s "$before" "$lib/.before"
  switch_to "$version"
  ln -sfn "$lib/current/bin/tsctl" /usr/bin/tsctl
  [ $# = 0 ] || place_units "$1"
  for service in $(installed_services); do
    place_units "$service"
    bring_up "$service" && continue
    explain_failure "$service"
    roll_back
    exit 1
  done
  rm -f "$lib/.before" "$etc/controlplane.env.before" "$etc/agent.env.before"
  remove_other_versions
}

roll_back() {
  back=''
  before=$(readlink "$lib/.before" || true)
  if [ -n "$before" ] && [ "$before" != "$version" ] && [ -d "$lib/$before" ]; then
    switch_to "$before"
    back=" to version $before"
  fi
  for program in controlplane agent; do
    [ -e "$etc/$program.env.before" ] || continue
    owe_restart "tessera-$program.service"
    mv "$etc/$program.env.before" "$etc/$program.env"
    back="$back to the flags that $program had"
  done
  [ -n "$back" ] || fail "once that is mended run this again, or take all of Tessera away from this machine: $here/install.sh uninstall --yes"
  say "going back$back"
  for service in $(installed_services); do
    place_units "$service"
    bring_up "$service" || explain_failure "$service"
  done
  rm -f "$lib/.before"
  version=$(readlink "$lib/current")
  remove_other_versions
}

# ---- commands ----

install_control_plane() {
  listen='' node_listen='' flags='' told=no
  while [ $# -gt 0 ]; do
    case $1 in
      --listen) check_address "$1" "${2-}" && listen=$2 ;;
      --node-listen) check_address "$1" "${2-}" && node_listen=$2 ;;
      --advertise) check_word "$1" "${2-}" && flags="$flags --advertise $2" ;;
      --)
        shift
        for flag in "$@"; do check_word FLAG "$flag" && flags="$flags $flag"; done
        told=yes
        break
        ;;
      *) fail "control-plane has no option \"$1\"; ./install.sh --help shows them" ;;
    esac
    told=yes
    shift 2
  done
  [ -e "$etc/controlplane.env" ] || told=yes
  listen=${listen:-0.0.0.0:6443}
  node_listen=${node_listen:-0.0.0.0:6444}
  [ "$told" = no ] || check_ports "$listen" "$node_listen"
  check_for_control_plane
  if is_installed tessera-agent.service; then check_for_agent; fi
  give_up_if_refused
  place_release
  if [ "$told" = yes ]; then
    addresses=$(own_addresses)
    mkdir -p "$etc"
    # The first name is the one that goes into kubeconfigs.
    write_flags controlplane <<FILE
# Flags of "controlplane serve", made by install.sh; after a change: systemctl restart tessera-controlplane
TESSERA_CONTROLPLANE_FLAGS=--listen $listen --node-listen $node_listen$flags $addresses --advertise $(hostname)
FILE
  fi
  apply tessera-controlplane.service
  say "the control plane of version $version runs; use it with: export KUBECONFIG=$control_data/admin.kubeconfig"
}

# The machine's addresses, for the certificate.
own_addresses() {
  "$here/bin/node" -p '
    Object.values(os.networkInterfaces()).flat()
      .filter((one) => !one.internal && !one.address.startsWith("fe80:"))
      .map((one) => "--advertise " + one.address).join(" ")'
}

install_agent() {
  join='' token=${TESSERA_JOIN_TOKEN-} ca_hash='' node_name='' node_address='' flags='' told=no
  while [ $# -gt 0 ]; do
    case $1 in
      --join) check_address "$1" "${2-}" && join=$2 ;;
      --token) check_word "$1" "${2-}" && token=$2 ;;
      --ca-hash) check_word "$1" "${2-}" && ca_hash=$2 ;;
      --node-name) check_word "$1" "${2-}" && node_name=$2 ;;
      --node-address) check_word "$1" "${2-}" && node_address=$2 ;;
      --)
        shift
        for flag in "$@"; do check_word FLAG "$flag" && flags="$flags $flag"; done
        told=yes
        break
        ;;
      *) fail "agent has no option \"$1\"; ./install.sh --help shows them" ;;
    esac
    told=yes
    shift 2
  done
  check_for_agent
  if is_installed tessera-controlplane.service; then check_for_control_plane; fi
  [ -e "$etc/agent.env" ] || told=yes
  if [ "$told" = yes ]; then
    [ -n "$join" ] || fail "agent needs --join HOST:PORT, the address of the control plane's API"
    if [ -z "$token" ] || [ -z "$ca_hash" ]; then
      fail "agent needs --token and --ca-hash: \"tsctl join-token create\" prints them, on a machine that can reach the API"
    fi
    give_up_if_refused
    # Names of objects are in lower case, those of machines need not be.
    node_name=${node_name:-$(hostname | tr '[:upper:]' '[:lower:]')}
    node_address=${node_address:-$(address_towards "$join")} || fail "no address of this machine leads to ${join%:*}: give one with --node-address"
    is_ipv4 "$node_address" || fail "the node's address \"$node_address\" is no IPv4 address, by which nodes reach each other: give one with --node-address"
    mkdir -p "$etc"
    # The token stays out of the list of processes, and is of no use afterwards.
    TESSERA_JOIN_TOKEN=$token "$here/bin/agent" join --join "$join" --ca-hash "$ca_hash" --node-name "$node_name" --credentials "$etc/node" --log-level warn ||
      fail_to_join
  fi
  give_up_if_refused
  place_release
  if [ "$told" = yes ]; then
    write_flags agent <<FILE
# Flags of "agent serve", made by install.sh; after a change: systemctl restart tessera-agent
TESSERA_AGENT_FLAGS=--node-name $node_name --node-address $node_address --credentials $etc/node$flags
FILE
  fi
  apply tessera-agent.service
  say "the agent of version $version runs"
}

# A join that may have happened has left its key, for the next attempt.
fail_to_join() {
  [ "$(ls "$etc/node" 2>/dev/null)" != agent.lock ] || rm -r "$etc/node"
  rmdir "$etc" 2>/dev/null || true
  fail "this machine did not become a node; nothing was installed"
}

is_ipv4() { "$here/bin/node" -e 'process.exitCode = net.isIPv4(process.argv[1]) ? 0 : 1' "$1"; }

# A UDP socket that is connected sends nothing, but the kernel has chosen its address.
address_towards() { # HOST:PORT
  "$here/bin/node" -e '
    const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(process.argv[1]);
    const socket = dgram.createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.on("error", () => process.exit(1));
    socket.connect(Number(port), host, () => { console.log(socket.address().address); socket.close(); });' "$1"
}

upgrade() {
  [ $# = 0 ] || fail "upgrade takes no options"
  [ -n "$(installed_services)" ] || fail "nothing is installed that could be upgraded: ./install.sh --help shows how to install"
  check_for_installed
  give_up_if_refused
  place_release
  apply
  say "version $version runs"
}

uninstall() {
  confirmed=no keep=no
  for option in "$@"; do
    case $option in
      --yes) confirmed=yes ;;
      --keep-data) keep=yes ;;
      *) fail "uninstall has no option \"$option\"; ./install.sh --help shows them" ;;
    esac
  done
  check_systemd
  if [ "$confirmed" = no ]; then
    fail "this ends all pods of this machine and removes Tessera with its data; say --yes to do it, --keep-data to keep the data"
  fi
  # The pods' grace is the unit's: containers get SIGTERM first.
  for unit in $all_units; do
    if is_installed "$unit"; then systemctl stop "$unit" || refuse "$unit could not be stopped"; fi
  done
  give_up_if_refused
  clean_node
  for unit in $all_units; do
    is_installed "$unit" || continue
    systemctl -q disable "$unit" 2>/dev/null || true
    rm -rf "${units:?}/$unit" "$units/$unit.d"
    systemctl reset-failed "$unit" 2>/dev/null || true
  done
  systemctl daemon-reload
  [ "$keep" = yes ] || rm -rf "$control_data" "$etc"
  if [ "$keep" = no ] && [ "$(user_home)" = "$control_data" ]; then userdel tessera; fi
  rm -f /usr/bin/tsctl
  rm -rf "$lib"
  report_leftovers
  kept=''
  for folder in "$control_data" "$node_data" "$etc"; do [ ! -e "$folder" ] || kept="$kept $folder"; done
  say "nothing of Tessera is left on this machine${kept:+ but what it keeps:$kept}"
}

# What pods left in the kernel, whatever state they are in.
clean_node() {
  [ -d "$node_data" ] || [ -d "$node_run" ] || return 0
  # That of the archive does when an earlier uninstall was interrupted.
  agent=$lib/current/bin/agent
  [ -x "$agent" ] || agent=$here/bin/agent
  [ -x "$agent" ] || fail "$agent is not there: run uninstall from the unpacked archive"
  if [ "$keep" = yes ]; then
    "$agent" clean --cgroup-root "$pods_cgroup" --keep-data
  else
    "$agent" clean --cgroup-root "$pods_cgroup"
  fi || fail "the pods could not be removed; run uninstall again"
}

report_leftovers() {
  for path in "$lib" "$node_run" /usr/bin/tsctl; do
    if [ -e "$path" ] || [ -L "$path" ]; then refuse "$path is still there"; fi
  done
  if [ "$keep" = no ]; then
    for path in "$node_data" "$control_data" "$etc"; do [ ! -e "$path" ] || refuse "$path is still there"; done
  fi
  left=$(find /sys/fs/cgroup -type d -name 'tessera-*' 2>/dev/null || true)
  [ -z "$left" ] || refuse "cgroups are still there: $left"
  left=$(grep -E " ($node_data|$node_run)(/[^ ]*)? " /proc/self/mountinfo || true)
  [ -z "$left" ] || refuse "mounts are still there: $left"
  give_up_if_refused
}

here=$(dirname "$(readlink -f "$0")")
command=${1-}
[ $# = 0 ] || shift
case $command in
  control-plane | agent | upgrade)
    check_root
    check_machine
    case $command in
      control-plane) install_control_plane "$@" ;;
      agent) install_agent "$@" ;;
      upgrade) upgrade "$@" ;;
    esac
    ;;
  uninstall)
    check_root
    uninstall "$@"
    ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
