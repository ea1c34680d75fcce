import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exampleImage, kubeconfigPath, until } from "../harness/cluster.ts";
import { forwarding } from "../harness/forwarding.ts";
import { loadImage } from "../harness/image.ts";
import { run as runProgram } from "../harness/run.ts";
import { scenario, shellPod } from "../harness/scenario.ts";

const programs = ["kubectl", "tsctl"] as const;
const run = ["--image", exampleImage, "--restart=Never", "--quiet"];

scenario("kubectl run -i --rm pipes through a container and exits as it does", async (cluster) => {
  const text = "line\n".repeat(400_000);
  const piped = await cluster.kubectl(["run", "-i", "--rm", "pipe", ...run, "--", "cat"], { input: text });
  assert.equal(piped.code, 0, piped.stderr);
  assert.equal(piped.stdout, text);
  const eager = ["run", "-i", "--rm", "eager", ...run, "--", "sh", "-c", "echo early; cat; echo late"];
  assert.equal(
    (await cluster.kubectl(eager, { input: "between\n" })).stdout,
    "early\nbetween\nlate\n",
    "what it says before anybody is attached too",
  );
  const failed = await cluster.kubectl(["run", "--attach", "--rm", "fails", ...run, "--", "sh", "-c", "sleep 1; echo out; exit 7"]);
  assert.deepEqual([failed.code, failed.stdout], [7, "out\n"]);
});

scenario("kubectl run -it has a terminal", async (cluster) => {
  // script gives kubectl a terminal of its own.
  const command = `kubectl -n ${cluster.namespace} run -it --rm term ${run.join(" ")} -- sh -c 'sleep 1; tty; exit 3'`;
  const { code, stdout } = await runProgram("script", ["-qec", command, "/dev/null"], { env: { KUBECONFIG: kubeconfigPath } });
  assert.equal(code, 3, stdout);
  assert.match(stdout, /\/dev\/pts\/0/);
});

scenario("kubectl debug puts a container with a terminal into a running pod", async (cluster) => {
  await cluster.apply(shellPod("broken", "exec sleep 1000"));
  await cluster.waitReady("broken");
  const debug = `kubectl -n ${cluster.namespace} debug -it broken -c tools --profile=general --image=${exampleImage} --quiet`;
  const command = `${debug} -- sh -c 'sleep 1; tty; hostname; exit 3'`;
  const { stdout } = await runProgram("script", ["-qec", command, "/dev/null"], { env: { KUBECONFIG: kubeconfigPath } });
  assert.match(stdout, /\/dev\/pts\/0\r\nbroken\r\n/);
  const { status } = await until("its end is in the pod's status", async () => {
    const pod = await cluster.getPod("broken");
    return pod.status.ephemeralContainerStatuses?.[0]?.state?.terminated === undefined ? undefined : pod;
  });
  const [tools] = status.ephemeralContainerStatuses ?? [];
  assert.deepEqual([tools?.name, tools?.state?.terminated?.exitCode, tools?.restartCount], ["tools", 3, 0]);
  assert.deepEqual([status.phase, status.containerStatuses?.[0]?.restartCount], ["Running", 0]);
  assert.match(await cluster.kubectlOk(["logs", "broken", "-c", "tools"]), /broken/);
  const beside = ["debug", "broken", "-c", "beside", "--target=main", "--profile=general", `--image=${exampleImage}`, "--quiet"];
  await cluster.kubectlOk([...beside, "--", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; ls /proc/1/root/"]);
  await until("it sees its target's first process", async () => {
    const log = await cluster.kubectl(["logs", "broken", "-c", "beside"]);
    return /^sleep 1000 /.test(log.stdout) || undefined;
  });
});

scenario("kubectl debug runs a script from a pipe to its end", async (cluster) => {
  await cluster.apply(shellPod("broken", "exec sleep 1000"));
  await cluster.waitReady("broken");
  const debug = ["debug", "-i", "broken", "-c", "script", "--profile=general", `--image=${exampleImage}`, "--quiet"];
  const { code, stdout, stderr } = await cluster.kubectl([...debug, "--", "sh"], { input: "echo first; sleep 2\necho last; exit 4\n" });
  assert.equal(stdout, "first\nlast\n", `exit code ${code}: ${stderr}`);
  await until("its end is in the pod's status", async () => {
    const [script] = (await cluster.getPod("broken")).status.ephemeralContainerStatuses ?? [];
    return script?.state.terminated?.exitCode === 4 ? true : undefined;
  });
});

for (const program of programs) {
  scenario(`${program} attach joins a container's own process and leaves it running`, async (cluster) => {
    await cluster.apply(shellPod("asks", "while read line; do sleep 0.3; echo got $line; done", { container: { stdin: true } }));
    await cluster.waitReady("asks");
    for (const word of ["one", "two"]) {
      const { code, stdout, stderr } = await cluster[program](["attach", "-i", "asks"], { input: `${word}\n` });
      assert.equal(code, 0, stderr);
      assert.equal(stdout, `got ${word}\n`, "the answer is heard although the client's stdin has ended");
    }
    await until("both words are in the log", async () => {
      const log = await cluster.kubectlOk(["logs", "asks"]);
      return log === "got one\ngot two\n" ? log : undefined;
    });
    assert.equal((await cluster.getPod("asks")).status.containerStatuses?.[0]?.restartCount, 0);
  });

  scenario(`${program} port-forward carries many connections and much data`, async (cluster) => {
    const script = "mkdir /www; head -c 8000000 /dev/urandom > /www/big; md5sum < /www/big > /www/sum; exec httpd -f -p 80 -h /www";
    await cluster.apply(shellPod("web", script));
    await cluster.waitReady("web");
    await using tunnel = await forwarding(program, cluster.namespace, "web", [80, 81]);
    const get = async (path: string) => {
      const response = await fetch(`${tunnel.url(80)}${path}`, { headers: { connection: "close" } });
      assert.equal(response.status, 200);
      return Buffer.from(await response.arrayBuffer());
    };
    const sum = await until("the server listens", async () => (await get("/sum")).toString().split(" ")[0]);
    const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) => await get(i % 4 === 0 ? "/big" : "/sum")));
    for (const [i, answer] of answers.entries()) {
      if (i % 4 === 0) assert.equal(createHash("md5").update(answer).digest("hex"), sum);
      else assert.ok(answer.toString().startsWith(sum));
    }
    await assert.rejects(fetch(tunnel.url(81)));
    await until("the refusal is said", async () => /connect to port: localhost:81: connection refused/.test(tunnel.output()) || undefined);
    // kubectl ends itself after an error; that the tunnel would live on is tested beside the server.
    if (program === "tsctl") assert.ok((await get("/sum")).toString().startsWith(sum));
  });
}

scenario("port-forward reaches a pod in the node's network", async (cluster) => {
  const script = "mkdir /www; echo hello > /www/hello; exec httpd -f -p 127.0.0.1:18080 -h /www";
  await cluster.apply(shellPod("host", script, { pod: { hostNetwork: true } }));
  await cluster.waitReady("host");
  await using tunnel = await forwarding("tsctl", cluster.namespace, "host", [18_080]);
  const answer = await until("the server listens", async () => await (await fetch(`${tunnel.url(18_080)}/hello`)).text());
  assert.equal(answer, "hello\n");
});

const bareImage = "tessera.local/without-tar:1";

for (const program of programs) {
  scenario(`${program} cp copies folders both ways, also where the image has no tar`, async (cluster) => {
    await loadImage(bareImage, {}, (root) => {
      mkdirSync(join(root, "bin"));
      for (const name of ["tar", "test", "["]) writeFileSync(join(root, `bin/.wh.${name}`), "");
    });
    const folder = await mkdtemp(join(tmpdir(), "tessera-cp-"));
    try {
      await mkdir(join(folder, "there/below"), { recursive: true });
      const content = randomBytes(3_000_000);
      await writeFile(join(folder, "there/below/data"), content);
      const bare = { name: "bare", image: bareImage, command: ["sleep", "1000"], securityContext: { runAsUser: 1000 } };
      const pod = shellPod("box", "exec sleep 1000") as { spec: { containers: object[] } };
      pod.spec.containers.push(bare);
      await cluster.apply(pod);
      await cluster.waitReady("box");
      assert.notEqual((await cluster.kubectl(["exec", "box", "-c", "bare", "--", "ls", "/bin/tar"])).code, 0);
      const ok = program === "kubectl" ? cluster.kubectlOk : cluster.tsctlOk;
      for (const container of ["main", "bare"]) {
        const back = join(folder, container);
        await ok(["cp", "-c", container, join(folder, "there"), "box:/tmp/copy"]);
        // The folder is there now, so it goes into it.
        await ok(["cp", "-c", container, join(folder, "there/below/data"), "box:/tmp/copy"]);
        await ok(["cp", "-c", container, "box:/tmp/copy", back]);
        for (const name of ["below/data", "data"]) assert.ok((await readFile(join(back, name))).equals(content), `${container} ${name}`);
      }
      // Whoever the container runs as may no more than in any other exec.
      const refused = await cluster[program](["cp", "-c", "bare", join(folder, "there/below/data"), "box:/etc/passwd"]);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /Permission denied/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}
