import assert from "node:assert/strict";
import { resolve } from "node:path";
import { until } from "../harness/cluster.ts";
import { type Scenario, scenario, shellPod } from "../harness/scenario.ts";

const examplePod = resolve(import.meta.dirname, "../../examples/pod.yaml");

for (const program of ["kubectl", "tsctl"] as const) {
  scenario(`${program} applies a pod, sees it run, looks into it and deletes it`, async (cluster) => {
    const ok = program === "kubectl" ? cluster.kubectlOk : cluster.tsctlOk;
    const run = program === "kubectl" ? cluster.kubectl : cluster.tsctl;
    assert.match(await ok(["apply", "-f", examplePod]), /pod\/hello created/);
    await ok(["wait", "--for=condition=Ready", "--timeout=30s", "pod/hello"]);
    assert.match(await ok(["apply", "-f", examplePod]), /pod\/hello unchanged/);

    assert.match(await ok(["get", "pods"]), /^NAME +READY +STATUS +RESTARTS +AGE\nhello +1\/1 +Running +0 /);
    assert.match(await ok(["get", "pods", "-o", "wide"]), /hello +1\/1 +Running +0 +\S+ +10\.64\.\d+\.\d+ +node-[123] /);
    assert.equal((await ok(["get", "pods", "-l", "app=hello", "-o", "name"])).trim(), "pod/hello");
    assert.equal((await ok(["get", "pod", "hello", "-o", "jsonpath={.status.phase}"])).trim(), "Running");
    assert.match(await ok(["get", "pod", "hello", "-o", "yaml"]), /image: tessera\.local\/busybox:1/);

    const failing = await run(["exec", "hello", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert.deepEqual({ code: failing.code, stdout: failing.stdout }, { code: 7, stdout: "out\n" });
    assert.match(failing.stderr, /^err\n/);
    assert.equal(await ok(["exec", "-i", "hello", "--", "cat"], { input: "through stdin\n" }), "through stdin\n");

    await ok(["exec", "hello", "--", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/index.html"]);
    await until("the request in the log", async () => (/index\.html/.test(await ok(["logs", "hello"])) ? true : undefined));

    const described = await ok(["describe", "pod", "hello"]);
    for (const expected of [/Status: +Running/, /Scheduled/, /Started/, /tessera\.local\/busybox:1/]) assert.match(described, expected);
    assert.match(await ok(["get", "events"]), /Normal +Scheduled +pod\/hello/);

    assert.match(await ok(["delete", "pod", "hello", "--grace-period=1"]), /pod "?\/?hello"? .*deleted/);
    assert.match((await run(["get", "pod", "hello"])).stderr, /pods "hello" not found/);
  });
}

scenario("a watch sees a pod from creation to Running to its end", async (cluster) => {
  const watching = cluster.kubectl(["get", "pods", "-w", "--request-timeout=12s", "--no-headers"], { timeoutMs: 30_000 });
  await cluster.apply(shellPod("seen", "sleep 3; exit 0", { pod: { restartPolicy: "Never" } }));
  await cluster.kubectlOk(["wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s", "pod/seen"]);
  const { stdout } = await watching;
  const statuses = stdout.split("\n").flatMap((line) => line.split(/ +/)[2] ?? []);
  assert.deepEqual(
    ["Running", "Completed"].map((status) => statuses.includes(status)),
    [true, true],
    stdout,
  );
  assert.ok(statuses.indexOf("Running") < statuses.indexOf("Completed"), stdout);
});

scenario("logs follow a pod until it ends", async (cluster) => {
  await cluster.apply(shellPod("counting", "for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done", { pod: { restartPolicy: "Never" } }));
  await until("the pod to start", async () =>
    ["Running", "Succeeded"].includes((await cluster.getPod("counting")).status.phase ?? "") ? true : undefined,
  );
  const expected = "line 1\nline 2\nline 3\nline 4\nline 5\n";
  assert.equal(await cluster.kubectlOk(["logs", "-f", "counting"]), expected);
  assert.equal(await cluster.tsctlOk(["logs", "-f", "-c", "main", "counting"]), expected);
});

scenario("containers of a pod share their network, host name and IPC, not their file systems or processes", async (cluster) => {
  const other = { name: "other", image: "tessera.local/busybox:1", command: ["sh", "-c", "echo mine > /tmp/file; exec sleep 1000"] };
  await cluster.apply(shellPod("shared", "exec httpd -f -p 8080 -h /var/www", { pod: { containers: [...containersOf("shared"), other] } }));
  await cluster.waitReady("shared");
  const inOther = (...command: string[]) => cluster.kubectlOk(["exec", "shared", "-c", "other", "--", ...command]);
  assert.equal(await inOther("wget", "-q", "-O", "-", "http://127.0.0.1:8080/"), "Hello from a Tessera pod.\n");
  assert.equal((await inOther("hostname")).trim(), "shared");
  assert.equal((await inOther("sh", "-c", "echo $PPID; cat /proc/1/comm")).trim().split("\n").at(-1), "sleep");
  assert.notEqual((await cluster.kubectl(["exec", "shared", "-c", "main", "--", "cat", "/tmp/file"])).code, 0);
});

function containersOf(name: string): object[] {
  const pod = shellPod(name, "exec httpd -f -p 8080 -h /var/www") as { spec: { containers: object[] } };
  return pod.spec.containers;
}

const interactive: readonly (keyof Pick<Scenario, "kubectl" | "tsctl">)[] = ["kubectl", "tsctl"];
for (const program of interactive) {
  scenario(`${program} exec -it gives a terminal of the caller's size`, async (cluster) => {
    await cluster.apply(shellPod("terminal", "exec sleep 1000"));
    await cluster.waitReady("terminal");
    // script(1) gives the command line a terminal of its own, as a person's shell would.
    const { run } = await import("../harness/run.ts");
    const { kubeconfigPath } = await import("../harness/cluster.ts");
    const binary = program === "kubectl" ? "kubectl" : resolve(import.meta.dirname, "../../tsctl/bin/tsctl");
    const command = `stty rows 33 cols 101; ${binary} -n ${cluster.namespace} exec -it terminal -- sh -c 'tty; stty size; exit 3'`;
    const output = await run("script", ["-qec", command, "/dev/null"], { env: { KUBECONFIG: kubeconfigPath, TERM: "xterm" } });
    assert.match(output.stdout, /\/dev\/pts\/\d+/);
    assert.match(output.stdout, /33 101/);
    assert.equal(output.code, 3);
  });
}
