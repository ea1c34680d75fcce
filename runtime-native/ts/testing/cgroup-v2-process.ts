/**
 * Goes through the life of a pod's cgroups where only cgroup v2 is mounted, and prints what it saw as JSON. Started by
 * cgroup-v2.native.test.ts in a mount namespace of its own.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { NativeLibrary } from "../native-library.ts";

const [nativeDir = "", folder = ""] = process.argv.slice(2);
const library = new NativeLibrary({ nativeDir, cgroupRoot: `tessera-v2-test-${process.pid}` });
const seen: Record<string, unknown> = {};
const attempt = (work: Promise<unknown>) =>
  work.then(
    () => "done",
    (error: { step: string; message: string }) => error.message,
  );

try {
  await library.createCgroup("pod/app", {}, { defaultDevices: true });
  const dirs = await library.cgroupDirs("pod/app");
  seen["dirs"] = dirs.length;
  seen["names"] = [await library.listCgroups(), await library.listCgroups("pod")];
  const shell = async (script: string, path: string) => {
    const cgroup = { path, resources: {} };
    const shim = await library.spawnShim({ shimPath: "/bin/sh", argv: ["sh", "-c", script], env: ["PATH=/usr/bin:/bin"], cgroup });
    shim.connection.destroy();
    return shim;
  };
  const shim = await shell("sleep 1000 & sleep 1000 & sleep 1000 & printf R >&3; wait", "pod/app");
  seen["member"] = (await readFile(`/proc/${shim.pid}/cgroup`, "utf8")).match(/^0::.*(\/pod\/app\/shim)$/m)?.[1];
  seen["processes"] = (await library.cgroupProcesses("pod")).length;
  await library.killCgroup("pod");
  seen["left"] = await library.cgroupProcesses("pod");
  seen["cpu"] = ((await library.cgroupUsage("pod")).cpuNs ?? 0) > 0;

  await library.createCgroup("pod/devices", {}, { defaultDevices: true });
  // Setting it again replaces the program.
  await library.createCgroup("pod/devices", {}, { defaultDevices: true });
  const node = join(folder, "kmsg");
  await shell(`{ mknod ${node} c 1 11; cat ${node}; head -c 1 /dev/zero | wc -c; } >${folder}/report 2>&1; printf R >&3`, "pod/devices");
  seen["devices"] = await readFile(`${folder}/report`, "utf8");
  seen["memory"] = await attempt(library.createCgroup("pod/limited", { memoryLimitBytes: 32 * 1024 * 1024 }));
  seen["controllers"] = await readFile(join(dirs[0] ?? "", "cgroup.controllers"), "utf8");
  await library.killCgroup("pod");
  await library.removeCgroup("pod");
  seen["removed"] = !dirs.some(existsSync);
} finally {
  await library.killCgroup("");
  await library.removeCgroup("");
  await library.close();
}
process.stdout.write(JSON.stringify(seen));
