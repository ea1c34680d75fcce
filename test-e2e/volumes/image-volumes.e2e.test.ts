import assert from "node:assert/strict";
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../harness/cluster.ts";
import { loadImage } from "../harness/image.ts";
import { scenario, shellPod } from "../harness/scenario.ts";

const image = "tessera.local/with-volumes:1";

scenario("the volumes that an image declares hold what the image has there, stay writable and are the container's own", async (cluster) => {
  await loadImage(image, { Volumes: { "/var/lib/app": {}, "/link/etc": {}, "/covered": {} } }, (root) => {
    mkdirSync(join(root, "var/lib/app"), { recursive: true });
    writeFileSync(join(root, "var/lib/app/seed"), "from the image\n");
    chmodSync(join(root, "var/lib/app"), 0o1777);
    symlinkSync("/", join(root, "link"));
  });
  // Ends, and so starts again, when it is told to.
  const run =
    "cat /var/lib/app/seed; echo more >> /var/lib/app/seed; wc -l < /etc/passwd; ls -A /covered; while ! test -e /tmp/end; do sleep 0.05; done";
  const main = (name: string) => ({
    name,
    image,
    command: ["sh", "-c", run],
    securityContext: { readOnlyRootFilesystem: true },
    volumeMounts: [
      { name: "covered", mountPath: "/covered" },
      { name: "told", mountPath: "/tmp" },
    ],
  });
  const volumes = ["covered", "told"].map((name) => ({ name, emptyDir: {} }));
  await cluster.apply(shellPod("declared", "", { pod: { containers: [main("a"), main("b")], volumes } }));
  await cluster.waitReady("declared");
  const shell = async (container: string, script: string) =>
    (await cluster.kubectlOk(["exec", "declared", "-c", container, "--", "sh", "-c", script])).trim();
  assert.equal(await cluster.kubectlOk(["logs", "declared", "-c", "a"]), "from the image\n2\n");
  assert.equal(
    await shell("a", "echo a > /var/lib/app/own; stat -c %a /var/lib/app; touch /x 2>&1 || true"),
    "1777\ntouch: /x: Read-only file system",
  );
  assert.equal(await shell("b", "ls /var/lib/app; grep -c ' /var/lib/app \\| /etc \\| /covered ' /proc/mounts"), "seed\n3");
  // As other runtimes have it: a container that starts again starts with the image.
  await shell("b", "touch /tmp/end");
  await until("the container's new start", async () => {
    const status = (await cluster.getPod("declared")).status.containerStatuses?.find(({ name }) => name === "a");
    return (status?.restartCount ?? 0) > 0 ? true : undefined;
  });
  await until("a fresh volume for the new start", async () =>
    (await cluster.kubectl(["logs", "declared", "-c", "a"])).stdout === "from the image\n2\n" ? true : undefined,
  );
});

scenario("an image that declares a volume in /proc is refused, and the pod says so", async (cluster) => {
  const hostile = "tessera.local/hostile-volume:1";
  await loadImage(hostile, { Volumes: { "/way/sys": {} } }, (root) => symlinkSync("/proc", join(root, "way")));
  await cluster.apply(shellPod("hostile", "sleep 1000", { container: { image: hostile }, pod: { restartPolicy: "Never" } }));
  const ended = await until("the refusal", async () => (await cluster.getPod("hostile")).status.containerStatuses?.[0]?.state.terminated);
  assert.equal(ended.reason, "StartError");
  assert.match(ended.message ?? "", /\/way\/sys leads into \/proc, \/sys or \/dev/);
});
