import type { Machine } from "./machine.ts";

/** All that an installation could leave on a machine, sorted, by what it is. */
export type MachineState = Readonly<Record<string, readonly string[]>>;

/** systemd's own notes, logs, and the copies that useradd and userdel make of the files that they change. */
const noise = [
  "/var/log/*",
  "/var/lib/systemd/*",
  "/var/tmp/*",
  "/etc/passwd-",
  "/etc/group-",
  "/etc/shadow-",
  "/etc/gshadow-",
  "/etc/subuid-",
  "/etc/subgid-",
  "/etc/.pwd.lock",
  "/etc/machine-id",
  "/etc/.updated",
  "/var/.updated",
];

const questions: Readonly<Record<string, string>> = {
  files: `find / /var/lib -xdev \\( ${noise.map((path) => `-path '${path}'`).join(" -o ")} \\) -prune -o -print`,
  "run files": "find /run -name '*tessera*' -print",
  // Those of credentials are of services that only the first boot has.
  mounts: "cut -d ' ' -f 5 /proc/self/mountinfo | grep -v ^/run/credentials/",
  "network devices": "ls /sys/class/net",
  // Those of processes, and those that only a handle holds.
  "network namespaces":
    "{ readlink /proc/[0-9]*/ns/net || true; sed -n 's/.* \\(net:[^ ]*\\) .* - nsfs .*/\\1/p' /proc/self/mountinfo; } | sort -u | wc -l",
  "packet rules": "nft list tables",
  cgroups: "find /sys/fs/cgroup -type d -name '*tessera*'",
  units: "systemctl list-units --all --plain --no-legend 'tessera*'",
  "failed units": "systemctl list-units --failed --plain --no-legend",
  users: "cat /etc/passwd /etc/group",
  processes: "ps -eo comm= | grep -E 'tessera|MainThread|node|etcd|nats|agent|controlplane|pods|sleep' || true",
};

/** One thing of each kind, so that a test can see that it would be seen. */
const leftovers = `
  touch /opt/left; mkdir -p /etc/systemd/system/left.service.d; ln -s nothing /usr/local/bin/left
  mkdir /run/tessera-left; mount -t tmpfs tmpfs /mnt
  ip netns add left; ip link add left0 type bridge; nft add table bridge left
  for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do [ ! -e "$hierarchy/cgroup.procs" ] || mkdir "$hierarchy/tessera-left"; done
  echo left:x:4711:4711::/nonexistent:/bin/false >>/etc/passwd
  systemd-run --quiet --unit=tessera-left sleep 1000
  ! systemd-run --quiet --wait --unit=left-failed false`;

const removal = `
  systemctl stop tessera-left; systemctl reset-failed left-failed
  sed -i /^left:/d /etc/passwd
  find /sys/fs/cgroup -depth -type d -name tessera-left -exec rmdir {} +
  nft delete table bridge left; ip link delete left0; ip netns delete left; umount /run/netns; rmdir /run/netns
  umount /mnt; rmdir /run/tessera-left /etc/systemd/system/left.service.d; rm /usr/local/bin/left /opt/left`;

/** The kinds of what would be seen if an installation left it. */
export const kinds: readonly string[] = Object.keys(questions);

/** Runs `look` while one thing of each kind is left on the machine. */
export async function withLeftovers(machine: Machine, look: () => Promise<void>): Promise<void> {
  await machine.shell(leftovers);
  try {
    await look();
  } finally {
    await machine.shell(removal);
  }
}

export async function readMachineState(machine: Machine): Promise<MachineState> {
  const entries = await Promise.all(
    Object.entries(questions).map(
      async ([name, script]) => [name, (await machine.shell(script)).split("\n").filter(Boolean).sort()] as const,
    ),
  );
  return Object.fromEntries(entries);
}

/** What came and what went, as "files: + /usr/bin/tsctl". */
export function differences(before: MachineState | undefined, after: MachineState): string[] {
  return Object.entries(after).flatMap(([name, lines]) => {
    const earlier = before?.[name] ?? [];
    const came = lines.filter((line) => !earlier.includes(line)).map((line) => `${name}: + ${line}`);
    const went = earlier.filter((line) => !lines.includes(line)).map((line) => `${name}: - ${line}`);
    return [...came, ...went];
  });
}
