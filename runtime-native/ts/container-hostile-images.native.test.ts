import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { bind, podForTests } from "./container-fixture.ts";
import { nativeDir } from "./native-runtime-fixture.ts";
import type { ContainerSpec } from "./runtime.ts";
import { rounds } from "./testing/patience.ts";

const { node, runtime, signal, pod, nextId, shimPid, run, assertRefused, host } = podForTests();

describe("hostile images", () => {
  /** An image of its own, prepared by the test. */
  function image(name: string, prepare: (root: string) => void): Partial<ContainerSpec> {
    const top = host(`images/${name}`);
    prepare(top);
    const spec = node.container(`image-${name}`, "");
    return { rootfs: { ...spec.rootfs, lower: [top, node.image] } };
  }

  test("links in the way of a volume are followed inside the container only", async () => {
    const canary = host("canary/file", "canary");
    const folder = join(canary, "..");
    const changes = image("links", (root) => {
      symlinkSync(folder, join(root, "absolute"));
      symlinkSync(`../../../../../../..${folder}`, join(root, "relative"));
      symlinkSync(canary, join(root, "file"));
      symlinkSync("/run/secrets", join(root, "dangling"));
    });
    const data = host("link-data");
    const { text } = await run(
      `echo volume > /absolute/written; cat /relative/written; echo x > /file; ls ${folder}; ls -d /run/secrets/deep`,
      {
        ...changes,
        mounts: [bind(data, "/absolute/sub"), bind(data, "/relative"), bind(host("one-file", "f"), "/file"), bind(data, "/dangling/deep")],
      },
    );
    assert.match(text, /\/run\/secrets\/deep/);
    assert.deepEqual(readdirSync(folder), ["file"]);
    assert.equal(readFileSync(canary, "utf8"), "canary");
    assert.equal(existsSync("/run/secrets/deep"), false);
    assert.equal(readFileSync(join(node.folder, "host/one-file"), "utf8"), "x\n");
  });

  for (const name of ["proc", "sys", "dev"])
    for (const kind of ["link", "file"] as const)
      test(`an image with a ${kind} at /${name} is refused`, async () => {
        const changes = image(`${name}-${kind}`, (root) => {
          if (kind === "link") symlinkSync("/tmp", join(root, name));
          else writeFileSync(join(root, name), "");
        });
        await assertRefused("InvalidArgument", new RegExp(`the image has no folder at /${name}`), "true", changes);
      });

  test("a link to /proc as a volume's destination is refused", async () => {
    const toProc = image("to-proc", (root) => symlinkSync("/proc/sys", join(root, "data")));
    await assertRefused("InvalidArgument", /\/data leads into \/proc/, "true", { ...toProc, mounts: [bind(host("some-dir"), "/data")] });
    const toCgroup = image("to-cgroup", (root) => symlinkSync("/sys/fs/cgroup", join(root, "cgroup")));
    await assert.rejects(
      runtime.startContainer(
        pod.id,
        node.container("to-cgroup", "true", { ...toCgroup, mounts: [bind(host("some-dir"), "/cgroup/new")] }),
        signal,
      ),
      /\/cgroup\/new/,
    );
  });

  test("a working directory that is a link stays inside", async () => {
    const outside = host("cwd-canary");
    const changes = image("cwd", (root) => symlinkSync(outside, join(root, "home")));
    const { text } = await run("", { ...changes, process: node.process("pwd; touch made", { cwd: "/home/new" }) });
    assert.equal(text, `${outside}/new\n`);
    assert.deepEqual(readdirSync(outside), []);
  });

  test("a working directory in /proc that leads elsewhere is refused", async () => {
    for (const cwd of ["/proc/self/fd/3", "/proc/self/fd/7", "/proc/1/cwd/..", "/proc/self/root/etc"])
      await assertRefused("InvalidArgument", /working directory/, "true", { process: node.process("true", { cwd }) });
  });

  test("the shim's program cannot be reached for writing through /proc/self/exe", async () => {
    const changes = image("self-exe", (root) => writeFileSync(join(root, "entry"), "#!/proc/self/exe\n", { mode: 0o755 }));
    const before = createHash("sha256")
      .update(readFileSync(join(nativeDir, "tessera-shim")))
      .digest("hex");
    await runtime.startContainer(pod.id, node.container("self-exe", ["/entry"], changes), signal);
    assert.equal((await node.exit("self-exe")).exitCode, 1, "the shim's program finds nothing to do in a container");
    await runtime.removeContainer(pod.id, "self-exe");
    assert.throws(() => accessSync(`/proc/${shimPid()}/exe`, constants.W_OK), { code: "EROFS" });
    assert.equal(
      createHash("sha256")
        .update(readFileSync(join(nativeDir, "tessera-shim")))
        .digest("hex"),
      before,
    );
  });

  test("two containers that exchange a link and a folder in a shared volume reach nothing outside", async () => {
    const shared = host("exchange");
    mkdirSync(join(shared, "a"));
    symlinkSync("/../../../../../../../../../../../..", join(shared, "b"));
    const swap = "cd /data; while :; do mv a c; mv b a; mv c b; mv a c; mv b a; mv c b; done 2>/dev/null";
    await runtime.startContainer(pod.id, node.container("swapper", swap, { mounts: [bind(shared, "/data")] }), signal);
    const name = `tessera-canary-${process.pid}`;
    const target = host("exchange-target");
    for (let round = 0; round < rounds(60); round++) {
      const id = nextId();
      const spec = node.container(id, "true", { mounts: [bind(shared, "/data"), bind(target, `/data/a/${name}`)] });
      await runtime.startContainer(pod.id, spec, signal).then(
        () => node.exit(id),
        () => {},
      );
      await runtime.removeContainer(pod.id, id);
      assert.equal(existsSync(`/${name}`), false, `round ${round}`);
    }
    await runtime.signalContainer(pod.id, "swapper", 9);
    await node.exit("swapper");
    await runtime.removeContainer(pod.id, "swapper");
    rmSync(shared, { recursive: true, force: true });
  });
});
