import assert from "node:assert/strict";
import { until } from "../harness/cluster.ts";
import { loadImage } from "../harness/image.ts";
import { NodeRegistry } from "../harness/registry.ts";
import { type Scenario, scenario, shellPod } from "../harness/scenario.ts";

const node = "node-1";

function imagePod(name: string, image: string, more: { readonly pull?: string; readonly secret?: string } = {}): object {
  return shellPod(name, "exec sleep 1000", {
    container: { image, imagePullPolicy: more.pull },
    pod: { nodeName: node, imagePullSecrets: more.secret === undefined ? undefined : [{ name: more.secret }] },
  });
}

async function createLogin(cluster: Scenario, name: string, registry: NodeRegistry, password: string): Promise<void> {
  await cluster.kubectlOk([
    ...["create", "secret", "docker-registry", name, `--docker-server=${registry.host}`],
    ...[`--docker-username=${NodeRegistry.username}`, `--docker-password=${password}`],
  ]);
}

/** The message of a container that waits for its image, once the reason is the one that is wanted. */
async function waitingMessage(cluster: Scenario, pod: string, reason: RegExp): Promise<string> {
  return await until(`${pod} waits with ${reason}`, async () => {
    const waiting = (await cluster.getPod(pod)).status.containerStatuses?.[0]?.state.waiting;
    return reason.test(waiting?.reason ?? "") ? (waiting?.message ?? "") : undefined;
  });
}

async function eventMessages(cluster: Scenario, pod: string, reason: string): Promise<string[]> {
  const selector = `involvedObject.name=${pod},reason=${reason}`;
  const list = await cluster.kubectlOk([
    "get",
    "events",
    "--field-selector",
    selector,
    "-o",
    "jsonpath={range .items[*]}{.message}{'\\n'}{end}",
  ]);
  return list.split("\n").filter((line) => line !== "");
}

scenario("a private image needs the login of an imagePullSecret, and says so without", async (cluster) => {
  await using registry = await NodeRegistry.start(node);
  const { name, digest } = await registry.push("team/private:1");
  await createLogin(cluster, "right", registry, NodeRegistry.password);
  await createLogin(cluster, "wrong", registry, "guessed");
  await cluster.apply(imagePod("without", name), imagePod("wrong", name, { secret: "wrong" }));
  for (const pod of ["without", "wrong"]) {
    assert.match(await waitingMessage(cluster, pod, /^(ErrImagePull|ImagePullBackOff)$/), /access denied.*imagePullSecrets/);
    await waitingMessage(cluster, pod, /^ImagePullBackOff$/);
  }
  await cluster.apply(imagePod("right", name, { secret: "right" }));
  await cluster.waitReady("right");
  const [container] = (await cluster.getPod("right")).status.containerStatuses ?? [];
  assert.ok(container?.imageID?.endsWith(digest), `${container?.imageID} is what was pushed, ${digest}`);
  assert.match((await eventMessages(cluster, "right", "Pulled")).join(), /Successfully pulled/);

  // That it is on the node now changes nothing for those whom the registry does not know.
  await cluster.apply(
    imagePod("later", name, { pull: "IfNotPresent" }),
    imagePod("guesser", name, { pull: "IfNotPresent", secret: "wrong" }),
    imagePod("never", name, { pull: "Never" }),
    imagePod("proven", name, { pull: "Never", secret: "right" }),
  );
  await cluster.waitReady("proven");
  for (const pod of ["later", "guesser"])
    assert.match(await waitingMessage(cluster, pod, /^(ErrImagePull|ImagePullBackOff)$/), /could not be verified: .*access denied/);
  assert.match(await waitingMessage(cluster, "never", /^ErrImageNeverPull$/), /credentials that this pod does not have/);
});

scenario("images are removed from nodes, those that a pod uses are not", async (cluster) => {
  const [used, unused] = ["tessera.local/used:1", "tessera.local/unused:1"];
  for (const name of [used, unused]) await loadImage(name, { Labels: { name } }, () => undefined);
  await cluster.apply(imagePod("user", used));
  await cluster.waitReady("user");
  const refused = await cluster.tsctl(["image", "rm", "--node", node, used]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /image "tessera.local\/used:1" is used by a pod of this node/);
  assert.equal(await cluster.tsctlOk(["image", "rm", "--node", node, unused]), `${node}: ${unused}\n`);
  await cluster.tsctlOk(["image", "rm", unused]);
  assert.match((await cluster.tsctl(["image", "rm", unused])).stderr, /is not on this node/);
  await until("no node lists it", async () => ((await cluster.tsctlOk(["image", "ls"])).includes(unused) ? undefined : true));
  await cluster.kubectlOk(["exec", "user", "--", "ls", "/bin/sh"]);
  await cluster.kubectlOk(["delete", "pod", "user"]);
  await cluster.tsctlOk(["image", "rm", used]);
});

scenario("imagePullPolicy says whether the registry is asked", async (cluster) => {
  const { name, digest } = await (async () => {
    await using registry = await NodeRegistry.start(node);
    const pushed = await registry.push("team/policy:1");
    await createLogin(cluster, "login", registry, NodeRegistry.password);
    await cluster.apply(imagePod("first", pushed.name, { secret: "login" }));
    await cluster.waitReady("first");
    return pushed;
  })();
  await cluster.apply(
    imagePod("present", name, { pull: "IfNotPresent", secret: "login" }),
    imagePod("pinned", name.replace(/:1$/, `@${digest}`), { pull: "IfNotPresent", secret: "login" }),
    imagePod("always", name, { pull: "Always", secret: "login" }),
    imagePod("other", name.replace(/:1$/, `@sha256:${"0".repeat(64)}`), { pull: "IfNotPresent", secret: "login" }),
  );
  await cluster.waitReady("present", "pinned");
  assert.match((await eventMessages(cluster, "present", "Pulled")).join(), /already present/);
  for (const pod of ["always", "other"])
    assert.match(await waitingMessage(cluster, pod, /^(ErrImagePull|ImagePullBackOff)$/), /cannot reach registry/);
});
