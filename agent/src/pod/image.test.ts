import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { TesseraError } from "@tessera/proto";
import type { Pods } from "./pods.ts";
import { fakeImage } from "./testing/fake-host.ts";
import { reportsOf, TestNode, until } from "./testing/harness.ts";
import { container, deleted, pod } from "./testing/pod-builder.ts";

describe("images of a pod", () => {
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

  const { phase, main, seen, running } = reportsOf(() => node);

  it("says what to do about an absent image, and starts when it is loaded", async () => {
    node.images.registry.set("nowhere", new TesseraError("ServiceUnavailable", "cannot reach registry r:443: connection refused"));
    pods.assign(pod("a", { containers: [container("main", { image: "nowhere" })] }));
    await until(() => main("uid-a")?.state?.waiting?.reason === "ErrImagePull", seen);
    const message = main("uid-a")?.state?.waiting?.message ?? "";
    assert.match(message, /^failed to pull image "nowhere": cannot reach registry r:443: connection refused; .*`tsctl image load FILE`$/);
    assert.equal(phase("uid-a"), "Pending");
    await until(() => pods.get("uid-a")?.state.busy.size === 0);
    node.clock.advance(2_000);
    await until(() => main("uid-a")?.state?.waiting?.reason === "ImagePullBackOff", seen);
    assert.equal(main("uid-a")?.state?.waiting?.message, `Back-off pulling image "nowhere": ${message}`);
    node.images.images.set("nowhere", (await node.images.resolve("app")) ?? assert.fail());
    pods.poke("images");
    await running("uid-a");
  });

  it("does not try to pull when the policy is Never", async () => {
    pods.assign(pod("a", { containers: [container("main", { image: "nowhere", imagePullPolicy: "Never" })] }));
    await until(() => main("uid-a")?.state?.waiting?.reason === "ErrImageNeverPull", seen);
    assert.deepEqual(node.images.pulls, []);
  });

  it("pulls an image that the node lacks, and tells of it", async () => {
    node.images.registry.set("far", fakeImage("far"));
    pods.assign(pod("a", { containers: [container("main", { image: "far" })] }));
    await running("uid-a");
    assert.deepEqual(node.events.map(({ type, reason, message, fieldPath }) => [type, reason, message, fieldPath]).slice(0, 2), [
      ["Normal", "Pulling", 'Pulling image "far"', "spec.containers{main}"],
      [
        "Normal",
        "Pulled",
        'Successfully pulled image "far" in 0s (0s including waiting). Image size: 1000000 bytes.',
        "spec.containers{main}",
      ],
    ]);
  });

  it("asks the registry for every start when the policy is Always, and only then for an image that is there", async () => {
    node.images.registry.set("app", fakeImage("newer"));
    pods.assign(pod("a", { containers: [container("main", { imagePullPolicy: "IfNotPresent" })] }));
    await running("uid-a");
    assert.deepEqual(node.images.pulls, []);
    pods.assign(pod("b", { containers: [container("main", { imagePullPolicy: "Always" })] }));
    await running("uid-b");
    assert.deepEqual(
      node.images.pulls.map(({ name }) => name),
      ["app"],
    );
    assert.equal(main("uid-b")?.image, "newer");
  });

  it("does not make do with what is there when the policy is Always, and says what would", async () => {
    pods.assign(pod("a", { containers: [container("main", { imagePullPolicy: "Always" })] }));
    await until(() => main("uid-a")?.state?.waiting?.reason === "ErrImagePull", seen);
    assert.match(
      main("uid-a")?.state?.waiting?.message ?? "",
      /manifest for app not found.*would be used with imagePullPolicy IfNotPresent/,
    );
    const told = node.events.map(({ type, reason, message }) => [type, reason, message.split(":")[0]]);
    assert.deepEqual(told, [
      ["Normal", "Pulling", 'Pulling image "app"'],
      ["Warning", "Failed", 'Failed to pull image "app"'],
      ["Warning", "Failed", "Error"],
      ["Normal", "BackOff", 'Back-off pulling image "app"'],
    ]);
  });

  it("pulls with the logins of imagePullSecrets, and tells of those that are missing", async () => {
    const auths = { auths: { "r.example": { username: "me", password: "p" } } };
    const object = { metadata: { name: "login" }, data: { ".dockerconfigjson": Buffer.from(JSON.stringify(auths)).toString("base64") } };
    node.objects.set({ kind: "Secret", namespace: "default", name: "login" }, object);
    node.objects.set({ kind: "Secret", namespace: "default", name: "lost" }, undefined);
    node.images.registry.set("r.example/a", fakeImage("r.example/a"));
    const imagePullSecrets = [{ name: "login" }, { name: "lost" }];
    pods.assign(pod("a", { imagePullSecrets, containers: [container("main", { image: "r.example/a" })] }));
    await running("uid-a");
    assert.deepEqual(node.images.pulls, [{ name: "r.example/a", users: ["me"] }]);
    const event = node.events.find(({ reason }) => reason === "FailedToRetrieveImagePullSecret");
    assert.match(event?.message ?? "", /\(lost\)/);
  });

  describe("an image that another pod's secret has brought here", () => {
    const auths = { auths: { "r.example": { username: "me", password: "p" } } };
    const mine = { metadata: { name: "login" }, data: { ".dockerconfigjson": Buffer.from(JSON.stringify(auths)).toString("base64") } };
    const name = "r.example/private";
    const withPolicy = (policy: string, secrets: readonly string[]) =>
      pod("a", {
        imagePullSecrets: secrets.map((secret) => ({ name: secret })),
        containers: [container("main", { image: name, imagePullPolicy: policy })],
      });
    beforeEach(() => {
      node.images.images.set(name, fakeImage(name));
      node.images.owners.set(name, "me");
      node.objects.set({ kind: "Secret", namespace: "default", name: "login" }, mine);
    });

    for (const policy of ["IfNotPresent", "Never"]) {
      it(`is there for a pod with the same login and ${policy}`, async () => {
        pods.assign(withPolicy(policy, ["login"]));
        await running("uid-a");
        assert.deepEqual(node.images.pulls, []);
      });
    }

    it("is asked for at the registry with IfNotPresent, and refused when that refuses", async () => {
      pods.assign(withPolicy("IfNotPresent", []));
      await until(() => main("uid-a")?.state?.waiting?.reason === "ErrImagePull", seen);
      assert.match(
        main("uid-a")?.state?.waiting?.message ?? "",
        /^image "r.example\/private" is on this node, but this pod's right to it could not be verified: manifest .* not found/,
      );
      assert.deepEqual(node.images.pulls, [{ name, users: [] }]);
    });

    it("is refused with Never, without a word to the registry", async () => {
      pods.assign(withPolicy("Never", []));
      await until(() => main("uid-a")?.state?.waiting?.reason === "ErrImageNeverPull", seen);
      assert.match(main("uid-a")?.state?.waiting?.message ?? "", /was pulled with credentials that this pod does not have/);
      assert.deepEqual(node.images.pulls, []);
    });
  });

  it("tries again at once when a Secret with logins comes", async () => {
    node.objects.set({ kind: "Secret", namespace: "default", name: "login" }, undefined);
    node.images.registry.set("private", new TesseraError("Unauthorized", "pull access denied for private"));
    pods.assign(pod("a", { imagePullSecrets: [{ name: "login" }], containers: [container("main", { image: "private" })] }));
    await until(() => main("uid-a")?.state?.waiting?.reason === "ErrImagePull", seen);
    node.images.registry.set("private", fakeImage("private"));
    pods.objectsChanged(new Set(["Secret/default/login"]));
    await running("uid-a");
  });

  it("gives up a pull when its pod is deleted", async () => {
    const stuck = Promise.withResolvers<void>();
    node.images.pull = (_name, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
        stuck.resolve();
      });
    pods.assign(pod("a", { containers: [container("main", { image: "far" })] }));
    await stuck.promise;
    pods.assign(deleted(pod("a"), 30));
    await until(() => node.gone.has("uid-a"), seen);
    assert.deepEqual(await node.leftovers(), []);
  });
});
