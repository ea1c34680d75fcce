import type { ContainerSpec } from "@tessera/runtime-native";
import { FakeKernel, FakeRuntime } from "./fake-runtime.ts";
import { PROCESS, runtimeContract } from "./runtime-contract.ts";

runtimeContract("the fake", async () => {
  const kernel = new FakeKernel();
  return {
    runtime: () => new FakeRuntime(kernel),
    container: async (id, argv): Promise<ContainerSpec> => ({
      id,
      process: { ...PROCESS, argv },
      rootfs: { lower: [], upper: "", work: "", readOnly: false },
      mounts: [],
      capabilities: [],
      noNewPrivileges: true,
      privileged: false,
      seccomp: "RuntimeDefault",
      resources: {},
      pid: "container",
      init: false,
      stdin: false,
      log: { path: "", maxBytes: 0, maxFiles: 0 },
      oomScoreAdj: 0,
    }),
    kill: async (sandbox) => kernel.loseSandbox(sandbox),
    close: async () => undefined,
  };
});
