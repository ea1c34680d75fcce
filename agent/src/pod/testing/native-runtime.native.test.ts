import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { NativeHostFiles, NativeLibrary, NativeRuntime } from "@tessera/runtime-native";
import { pino } from "pino";
import { LocalImageStore } from "../../images/index.ts";
import { containerCapabilities } from "../../process/capabilities.ts";
import { IMAGE } from "../../testing/native-node.ts";
import { PROCESS, runtimeContract } from "./runtime-contract.ts";

const NATIVE_DIR = resolve(import.meta.dirname, "../../../../dist");

runtimeContract("the native one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tessera-contract-"));
  const library = new NativeLibrary({ nativeDir: NATIVE_DIR, cgroupRoot: `tessera-contract-${process.pid}` });
  const files = new NativeHostFiles({ library });
  const images = await LocalImageStore.open({ folder: join(folder, "images"), files, architecture: "amd64" });
  await images.load(createReadStream(join(NATIVE_DIR, "busybox.tar")), AbortSignal.timeout(30_000));
  const image = await images.resolve(IMAGE);
  if (image === undefined) throw new Error(`dist/busybox.tar holds no ${IMAGE}`);
  const lower = await images.prepareRootfs(image);
  const runDir = join(folder, "run");
  const runtimes: NativeRuntime[] = [];
  let specs = 0;
  return {
    runtime: () => {
      const runtime = new NativeRuntime({ nativeDir: NATIVE_DIR, runDir, log: pino({ level: "silent" }), library, files });
      runtimes.push(runtime);
      return runtime;
    },
    container: async (id, argv) => {
      const root = join(folder, "containers", id);
      const [upper, work] = [join(root, "upper"), join(root, `work-${++specs}`)];
      for (const path of [upper, work]) await mkdir(path, { recursive: true });
      return {
        id,
        process: { ...PROCESS, argv },
        rootfs: { lower, upper, work, readOnly: false },
        mounts: [],
        capabilities: containerCapabilities({}),
        noNewPrivileges: true,
        privileged: false,
        seccomp: "RuntimeDefault",
        resources: {},
        pid: "container",
        init: false,
        stdin: false,
        log: { path: join(folder, `${id}.log`), maxBytes: 1 << 20, maxFiles: 2 },
        oomScoreAdj: 0,
      };
    },
    kill: async (sandbox) => {
      const another = new NativeRuntime({ nativeDir: NATIVE_DIR, runDir, log: pino({ level: "silent" }), library, files });
      const found = (await another.recover(AbortSignal.timeout(5000))).find((one) => one.id === sandbox);
      await another.close();
      if (found !== undefined) process.kill(found.pid, "SIGKILL");
    },
    close: async () => {
      for (const runtime of runtimes) await runtime.close();
      await library.removeCgroup("");
      await library.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
});
