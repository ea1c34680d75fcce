/** Machines that an installer must refuse, each made of the real one for as long as one command runs. */
import type { Output } from "../harness/run.ts";
import type { Machine } from "./machine.ts";

export interface Refusal {
  readonly name: string;
  /**
   * Shell, in a mount namespace of its own, with $release, the folder of a whole release, $copy, one without the large programs that may be broken,
   * and $scratch, an empty folder.
   */
  readonly script: string;
  /** All of them are told. */
  readonly reasons: readonly RegExp[];
}

const join = "agent --join 10.0.0.1:6443 --token a --ca-hash b";

/** Mounts over a folder, so that what is changed in it is so in this namespace only. 1 MB is free there. */
const overlayOn = (folder: string): string => `
  layers=$(mktemp -d "$scratch/layers-XXXX"); mount -t tmpfs -o size=1m tmpfs "$layers"; mkdir "$layers/upper" "$layers/work"
  mount -t overlay -o "lowerdir=${folder},upperdir=$layers/upper,workdir=$layers/work" overlay ${folder}`;

const withoutPids = `
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    sed 's/pids//' /sys/fs/cgroup/cgroup.controllers >"$scratch/controllers"
    mount --bind "$scratch/controllers" /sys/fs/cgroup/cgroup.controllers
  else
    umount --lazy /sys/fs/cgroup/pids
  fi`;

/** A program that wants a C library of the future, by the one symbol version that all of Debian's programs have. */
const programOfTheFuture = (path: string): string =>
  `mkdir -p "$(dirname ${path})"; LC_ALL=C sed 's/GLIBC_2\\.34/GLIBC_2.99/g' /bin/true >${path}; chmod 755 ${path}`;

const listenAt = (port: number): string => `
  $release/bin/node -e 'net.createServer().listen(${port}, () => console.log("up"))' >"$scratch/up" & listener=$!
  while [ ! -s "$scratch/up" ]; do kill -0 $listener; sleep 0.05; done`;

export const refusals: readonly Refusal[] = [
  {
    name: "not root",
    script: "setpriv --reuid=65534 --clear-groups $release/install.sh control-plane",
    reasons: [/must run as root/],
  },
  {
    name: "no systemd",
    script: "mount -t tmpfs tmpfs /run/systemd; $copy/install.sh control-plane",
    reasons: [/systemd does not run this machine \(no \/run\/systemd\/system\)/],
  },
  { name: "nothing to upgrade", script: "$copy/install.sh upgrade", reasons: [/nothing is installed that could be upgraded/] },
  { name: "no control plane", script: "$copy/install.sh agent", reasons: [/agent needs --join HOST:PORT/] },
  { name: "no token", script: "$copy/install.sh agent --join 10.0.0.1:6443", reasons: [/agent needs --token and --ca-hash/] },
  { name: "no port", script: "$copy/install.sh agent --join 10.0.0.1", reasons: [/--join: "10\.0\.0\.1" is not HOST:PORT/] },
  {
    name: "a node's address that is none",
    script: `$release/install.sh ${join} --node-address 10.0.0.300`,
    reasons: [/the node's address "10\.0\.0\.300" is no IPv4 address/],
  },
  { name: "uninstall by mistake", script: "$copy/install.sh uninstall", reasons: [/say --yes to do it/] },
  {
    name: "a file is missing",
    script: `cp $release/SHA256SUMS $copy; $copy/install.sh ${join}`,
    reasons: [/is damaged[\s\S]*bin\/node: FAILED open or read/],
  },
  {
    name: "a file was changed",
    script: `echo >>$copy/lib/agent.mjs; $copy/install.sh ${join}`,
    reasons: [/is damaged[\s\S]*lib\/agent\.mjs: FAILED/],
  },
  {
    name: "half an archive",
    script: `rm $copy/VERSION; $copy/install.sh ${join}`,
    reasons: [/is no unpacked release.*VERSION cannot be read/],
  },
  {
    name: "another architecture",
    script: `echo s390x >$copy/ARCHITECTURE; forget ARCHITECTURE; $copy/install.sh ${join}`,
    reasons: [/this release is for s390x, the machine is/],
  },
  {
    name: "all that a node needs is missing",
    script: `
      grep -vw overlay /proc/filesystems >"$scratch/filesystems"; mount --bind "$scratch/filesystems" /proc/filesystems
      ${withoutPids}
      ${overlayOn("/var/lib")}
      ${overlayOn("/usr/lib")}
      rm /usr/lib/*/libnftables.so.1
      modules=/usr/lib/modules/$(setarch --uname-2.6 uname -r); mkdir -p "$modules"
      echo kernel/net/netfilter/nft_nat.ko: >"$modules/modules.dep"; echo kernel/net/netfilter/nft_chain_nat.ko >"$modules/modules.builtin"
      ${programOfTheFuture("$copy/bin/node")}
      mount --bind /dev/null /usr/bin/flock
      setarch --uname-2.6 $copy/install.sh ${join}`,
    reasons: [
      /the kernel is 2\.6\.\d+\S*, Linux 5\.14 or newer is needed/,
      /not installed: flock/,
      /the kernel lacks what the pod network is made of:(?! .*(nft_nat|nft_chain_nat)).* nft_masq;/,
      /the kernel has no overlayfs/,
      /the cgroup controller "pids" is not there/,
      /bin\/node needs a newer C library than this machine's glibc 2\.\d+[\s\S]*GLIBC_2\.99/,
      /lib\/libtessera\.so needs libraries that this machine lacks[\s\S]*libnftables\.so\.1 => not found/,
      /\/var\/lib\/tessera would lie on an overlayfs/,
      /\/usr\/lib\/tessera needs \d+ MB, and its disk has [01] MB left/,
    ],
  },
  {
    name: "all that a control plane needs is somebody else's",
    script: `
      ${listenAt(6443)}
      { cat /etc/passwd; echo tessera:x:1000:1000::/home/tessera:/bin/sh; } >"$scratch/passwd"; mount --bind "$scratch/passwd" /etc/passwd
      ${overlayOn("/usr/lib")}
      mkdir -p /usr/lib/tessera/mosaics
      ${overlayOn("/usr/bin")}
      rm /usr/bin/setpriv; touch /usr/bin/tsctl
      echo '[Service]' >/run/systemd/system/tessera-agent.service
      $copy/install.sh control-plane; code=$?
      rm /run/systemd/system/tessera-agent.service; systemctl daemon-reload; exit $code`,
    reasons: [
      /port 6443 is taken by another program/,
      /not installed: setpriv/,
      /the user "tessera" is there already, with the home \/home\/tessera/,
      /\/usr\/lib\/tessera\/mosaics is no release of Tessera/,
      /\/usr\/bin\/tsctl is there already, and not from this installer/,
      /the unit tessera-agent\.service is there already, in \/run\/systemd\/system\/tessera-agent\.service/,
    ],
  },
  {
    name: "one port for two",
    script: "$copy/install.sh control-plane --listen 0.0.0.0:7000 --node-listen 127.0.0.1:7000",
    reasons: [/--listen and --node-listen both have port 7000/],
  },
  {
    name: "the disk fills up while the release is copied",
    // Somebody else was quicker: there was room when it was looked at.
    script: `
      ${overlayOn("/usr/lib")}
      mkdir "$scratch/bin"; printf '#!/bin/sh\\necho; echo disk 1 1 9999999 0%% /\\n' >"$scratch/bin/df"; chmod 755 "$scratch/bin/df"
      PATH=$scratch/bin:$PATH $release/install.sh control-plane; code=$?
      [ ! -e /usr/lib/tessera ] || echo "something is left in /usr/lib/tessera" >&2
      exit $code`,
    reasons: [/No space left on device[\s\S]*could not be copied to \/usr\/lib\/tessera, as said above: run this again(?![\s\S]*is left)/],
  },
];

/** What every script runs in; nothing of it outlives the script. */
const frame = (release: string, script: string): string => `
  release=${release} scratch=/run/scratch copy=/run/scratch/copy listener=''
  forget() { sed -i "/ $1\\$/d" "$copy/SHA256SUMS"; }
  mkdir "$scratch"; mount -t tmpfs tmpfs "$scratch"
  trap '[ -z "$listener" ] || kill "$listener"; umount --lazy "$scratch"; rmdir "$scratch"' EXIT
  mkdir "$copy"
  (cd "$release" && tar -cf - --exclude=./bin/node --exclude=./bin/etcd --exclude=./bin/nats-server --exclude=./licenses .) | tar -xf - -C "$copy"
  sed -i '/ bin\\/\\(node\\|etcd\\|nats-server\\)$/d; / licenses\\//d' "$copy/SHA256SUMS"
  ${script}`;

/** Runs it on the machine. */
export async function provoke(machine: Machine, release: string, { script }: Refusal): Promise<Output> {
  return await machine.run(["unshare", "--mount", "--propagation=private", "sh", "-c", frame(release, script)], { timeoutMs: 60_000 });
}
