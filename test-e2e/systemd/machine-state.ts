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
  "network namespaces": "lsns --noheadings --type net --output NS | wc -l",
  "packet rules": "nft list tables",
  cgroups: "find /sys/fs/cgroup -type d -name '*tessera*'",
  units: "systemctl list-units --all --plain --no-legend 'tessera*'",
  "failed units": "systemctl list-units --failed --plain --no-legend",
  users: "cat /etc/passwd /etc/group",
  processes: "ps -eo comm= | grep -E 'tessera|MainThread|node|etcd|nats|agent|controlplane|pods|sleep' || true",
};

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
