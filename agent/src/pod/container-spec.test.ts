import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { Container, ContainerStatus, PodSpec } from "@tessera/proto";
import type { ContainerSpec, SandboxSpec } from "@tessera/runtime-native";
import type { LocalImage } from "../images/index.ts";
import type { Pods } from "./pods.ts";
import { fakeImage } from "./testing/fake-host.ts";
import { TEST_NODE, TestNode, until } from "./testing/harness.ts";
import { container, pod } from "./testing/pod-builder.ts";

describe("what the runtime is given of a pod", () => {
  let node: TestNode;
  let pods: Pods;
  beforeEach(async () => {
    node = await TestNode.make();
    pods = await node.agent();
  });
  afterEach(async () => {
    await pods.stop();
    await node.remove();
  });

  const status = (): ContainerStatus | undefined => node.statuses.get("uid-a")?.containerStatuses?.[0];

  function assign(more: Container, spec: PodSpec, image: Partial<LocalImage["config"]>): void {
    node.images.images.set("app", fakeImage("app", image));
    pods.assign(pod("a", { containers: [container("main", more)], ...spec }));
  }

  /** The sandbox and the container of a pod of one container, once it runs. */
  async function given(
    more: Container,
    spec: PodSpec = {},
    image: Partial<LocalImage["config"]> = {},
  ): Promise<{ sandbox: SandboxSpec; main: ContainerSpec }> {
    assign(more, spec, image);
    await until(() => status()?.state?.running !== undefined, status);
    const sandbox = node.kernel.sandboxes.get("uid-a");
    const main = sandbox?.containers.get("main_0");
    assert.ok(sandbox && main);
    return { sandbox: sandbox.spec, main: main.spec };
  }

  const image = { entrypoint: ["/entry", "-x"], cmd: ["serve"] };
  const commands: { says: string; spec: Container; argv: readonly string[] }[] = [
    { says: "neither: the image's entrypoint and its arguments", spec: {}, argv: ["/entry", "-x", "serve"] },
    { says: "args: the image's entrypoint with them", spec: { args: ["a", "b"] }, argv: ["/entry", "-x", "a", "b"] },
    { says: "command: it alone, without the image's arguments", spec: { command: ["/own"] }, argv: ["/own"] },
    { says: "both: nothing of the image", spec: { command: ["/own"], args: ["a"] }, argv: ["/own", "a"] },
    {
      says: "variables: what they stand for, in both, but not where the sign is doubled",
      spec: { command: ["/$(NAME)"], args: ["$(NAME)s", "$$(NAME)", "$(NOBODY)"], env: [{ name: "NAME", value: "web" }] },
      argv: ["/web", "webs", "$(NAME)", "$(NOBODY)"],
    },
  ];
  for (const { says, spec, argv } of commands) {
    it(`is a command of ${says}`, async () => assert.deepEqual((await given(spec, {}, image)).main.process.argv, argv));
  }

  it("is no command at all where neither says one, which the status tells", async () => {
    assign({}, {}, { entrypoint: [], cmd: [] });
    await until(() => status()?.state?.waiting?.reason === "CreateContainerConfigError", status);
    assert.match(status()?.state?.waiting?.message ?? "", /no command: neither the pod nor the image/);
  });

  it("starts in the pod's folder, else the image's, else the root", async () => {
    assert.equal((await given({ workingDir: "/own" }, {}, { workingDir: "/image" })).main.process.cwd, "/own");
  });

  it("starts in the image's folder where the pod says none", async () => {
    assert.equal((await given({}, {}, { workingDir: "/image" })).main.process.cwd, "/image");
  });

  it("has the image's variables under the pod's own, and what programs count on", async () => {
    const env = [{ name: "MODE", value: "pod" }];
    const { main } = await given({ env, tty: true }, { hostname: "web" }, { env: ["MODE=image", "ONLY=image", "PATH=/image/bin"] });
    assert.deepEqual(Object.fromEntries(main.process.env.map((variable) => variable.split("="))), {
      MODE: "pod",
      ONLY: "image",
      PATH: "/image/bin",
      HOME: "/",
      HOSTNAME: "web",
      TERM: "xterm",
    });
    assert.deepEqual([main.process.terminal, main.stdin], [true, false]);
  });

  it("is as confined as a pod is that says nothing", async () => {
    const { main, sandbox } = await given({});
    assert.deepEqual(
      [main.noNewPrivileges, main.privileged, main.rootfs.readOnly, main.seccomp, main.pid, main.stdin, main.process.terminal],
      [true, false, false, "RuntimeDefault", "container", false, false],
    );
    assert.equal(main.capabilities.length, 14);
    assert.deepEqual([sandbox.hostIpc, sandbox.sharePids, sandbox.network.kind], [false, false, "netns"]);
    assert.equal(sandbox.resources.pidsLimit, TEST_NODE.podPidsLimit);
    assert.deepEqual([main.log.maxBytes, main.log.maxFiles], [TEST_NODE.logMaxBytes, TEST_NODE.logMaxFiles]);
    assert.equal(main.oomScoreAdj, 1000, "a pod that asks for nothing goes first");
  });

  it("is as free as its security context says", async () => {
    const securityContext = {
      allowPrivilegeEscalation: true,
      readOnlyRootFilesystem: true,
      capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] },
      seccompProfile: { type: "Unconfined" },
    };
    const { main } = await given({ securityContext, stdin: true });
    assert.deepEqual([main.noNewPrivileges, main.rootfs.readOnly, main.seccomp, main.stdin], [false, true, "Unconfined", true]);
    assert.deepEqual(main.capabilities, ["NET_ADMIN"]);
  });

  it("is privileged with all that goes with it", async () => {
    const { main } = await given({ securityContext: { privileged: true } });
    assert.deepEqual([main.privileged, main.noNewPrivileges, main.seccomp], [true, false, "Unconfined"]);
    assert.equal(main.capabilities.length, 41);
  });

  it("has the pod's seccomp profile where the container has none", async () => {
    const { main } = await given({}, { securityContext: { seccompProfile: { type: "Unconfined" } } });
    assert.equal(main.seccomp, "Unconfined");
  });

  it("shares the node's namespaces as the pod says", async () => {
    const { main, sandbox } = await given({}, { hostNetwork: true, hostPID: true, hostIPC: true });
    assert.deepEqual([sandbox.network.kind, sandbox.hostIpc, sandbox.hostname, main.pid], ["host", true, TEST_NODE.hostname, "host"]);
  });

  it("shares processes among the containers as the pod says", async () => {
    const { main, sandbox } = await given({}, { shareProcessNamespace: true });
    assert.deepEqual([sandbox.sharePids, main.pid], [true, "pod"]);
  });

  it("has the pod's kernel settings and limits", async () => {
    const sysctls = [{ name: "net.ipv4.tcp_syncookies", value: "0" }];
    const limits = { cpu: "1", memory: "64Mi" };
    const { main, sandbox } = await given({ resources: { limits } }, { securityContext: { sysctls } });
    assert.deepEqual(sandbox.sysctls, { "net.ipv4.tcp_syncookies": "0" });
    for (const { cpuQuotaUs, memoryLimitBytes } of [sandbox.resources, main.resources])
      assert.deepEqual([cpuQuotaUs, memoryLimitBytes], [100_000, 64 << 20]);
  });

  it("is refused while the pod wants users of its own, which there are none of yet", async () => {
    assign({}, { hostUsers: false }, {});
    await until(
      () => node.events.some(({ reason }) => reason === "FailedCreatePodSandBox"),
      () => node.events,
    );
    assert.match(status()?.state?.waiting?.message ?? "", /spec\.hostUsers: user namespaces are not supported yet/);
    assert.deepEqual([...node.kernel.sandboxes.keys()], []);
  });
});
