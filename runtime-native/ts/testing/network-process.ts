/**
 * A node's agent as far as its network goes, for tests: runs in the network namespace that it was started in, and does
 * what its parent sends over the IPC channel.
 */
import { NativeLibrary } from "../native-library.ts";
import { NativeNodeNetwork } from "../native-node-network.ts";

const [nativeDir = "", runDir = "", poolSize = "0"] = process.argv.slice(2);
const library = new NativeLibrary({ nativeDir, cgroupRoot: "unused" });
const network = new NativeNodeNetwork({ library, runDir, poolSize: Number(poolSize) });

process.on("message", async ({ id, method, args }: { id: number; method: keyof NativeNodeNetwork; args: unknown[] }) => {
  try {
    const call = network[method] as (...args: unknown[]) => Promise<unknown>;
    process.send?.({ id, value: await call.apply(network, args) });
  } catch (error) {
    const { message, reason, step, errno, holder } = error as Record<string, unknown>;
    process.send?.({ id, error: { message, reason, step, errno, holder } });
  }
});
process.on("disconnect", () => process.exit(0));
