/**
 * An agent that runs `sleep` in a container of a sandbox that it finds, and says when that runs; for who kills it then.
 * Arguments: native folder, root of the cgroups, run folder, sandbox, container, seconds of sleep.
 */
import { NativeHostFiles } from "../native-host-files.ts";
import { NativeLibrary } from "../native-library.ts";
import { NativeRuntime } from "../native-runtime.ts";

const [nativeDir = "", cgroupRoot = "", runDir = "", sandbox = "", container = "", seconds = ""] = process.argv.slice(2);
const log = { info() {}, warn() {} };
const library = new NativeLibrary({ nativeDir, cgroupRoot });
const runtime = new NativeRuntime({ nativeDir, runDir, log, library, files: new NativeHostFiles({ library }) });
const signal = AbortSignal.timeout(60_000);
await runtime.recover(signal);
const sleep = {
  argv: ["sleep", seconds],
  env: ["PATH=/bin"],
  cwd: "/",
  user: { uid: 0, gid: 0, additionalGids: [] },
  terminal: false,
};
await runtime.exec(sandbox, container, sleep, false, { stdout() {}, stderr() {} }, signal);
process.stdout.write("running\n");
