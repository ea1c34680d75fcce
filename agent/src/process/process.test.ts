import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Container, PodSpec } from "@tessera/proto";
import { ReferencedObjects } from "../objects/referenced-objects.ts";
import { container, pod } from "../pod/testing/pod-builder.ts";
import { containerCapabilities } from "./capabilities.ts";
import { podHostname, podHosts, podResolvConf } from "./dns.ts";
import { containerEnv } from "./env.ts";
import { expand } from "./expansion.ts";
import { fieldValue, type PodFacts, resourceValue } from "./fields.ts";
import { readImageFile } from "./image-file.ts";
import { signalName, signalNumber } from "./signals.ts";
import { podSysctls, sysctlRefusal } from "./sysctls.ts";
import { refuses } from "./testing/refuses.ts";
import { AccountReader, resolveUser } from "./user.ts";

const FACTS: PodFacts = { hostAddresses: ["192.0.2.1"], podAddresses: ["10.64.1.7"], nodeCpuMillis: 2000, nodeMemoryBytes: 8 * 2 ** 30 };

describe("expansion of $(NAME)", () => {
  const values: Record<string, string> = { A: "1", EMPTY: "", "B.C": "dotted" };
  const cases: [text: string, expected: string][] = [
    ["$(A)", "1"],
    ["$(A)$(A)", "11"],
    ["x$(EMPTY)y", "xy"],
    ["$(B.C)", "dotted"],
    ["$(UNKNOWN)", "$(UNKNOWN)"],
    ["$$(A)", "$(A)"],
    ["$$$(A)", "$1"],
    ["$$$$(A)", "$$(A)"],
    ["$A", "$A"],
    ["$(A", "$(A"],
    ["$", "$"],
    ["$()", "$()"],
  ];
  for (const [text, expected] of cases)
    it(`makes ${JSON.stringify(text)} ${JSON.stringify(expected)}`, () =>
      assert.equal(
        expand(text, (name) => values[name]),
        expected,
      ));
});

describe("a container's environment", () => {
  const objects = new ReferencedObjects();
  const key = { namespace: "default", name: "given" } as const;
  objects.set({ kind: "ConfigMap", ...key }, { metadata: { resourceVersion: "1" }, data: { colour: "red", "bad=name": "x" } });
  objects.set(
    { kind: "Secret", ...key },
    { metadata: { resourceVersion: "1" }, data: { token: Buffer.from("s3cret").toString("base64") } },
  );
  objects.set({ kind: "ConfigMap", namespace: "default", name: "absent" }, undefined);

  const env = (more: Container) =>
    containerEnv({ pod: pod("a", {}, { labels: { app: "web" } }), container: container("main", more), facts: FACTS, objects });

  it("takes literals, keys, fields and resources, and lets later ones refer to earlier ones", () => {
    const { values } = env({
      resources: { limits: { cpu: "1500m" } },
      env: [
        { name: "LITERAL", value: "plain" },
        { name: "COLOUR", valueFrom: { configMapKeyRef: { name: "given", key: "colour" } } },
        { name: "TOKEN", valueFrom: { secretKeyRef: { name: "given", key: "token" } } },
        { name: "APP", valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        { name: "CPUS", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
        { name: "BOTH", value: "$(LITERAL) $(COLOUR) $(LATER)" },
        { name: "LATER", value: "too late" },
        { name: "LITERAL", value: "again" },
      ],
    });
    assert.deepEqual(Object.fromEntries(values), {
      LITERAL: "again",
      COLOUR: "red",
      TOKEN: "s3cret",
      APP: "web",
      CPUS: "2",
      BOTH: "plain red $(LATER)",
      LATER: "too late",
    });
  });

  it("takes all keys of an object with a prefix, over which env wins, and skips what can be no name", () => {
    const { values, skipped } = env({
      envFrom: [{ prefix: "P_", configMapRef: { name: "given" } }],
      env: [{ name: "P_colour", value: "blue" }],
    });
    assert.deepEqual(Object.fromEntries(values), { P_colour: "blue" });
    assert.deepEqual(skipped, ['ConfigMap "given" key "bad=name"']);
  });

  it("shows another container's resources under its name", () => {
    const side = container("side", { resources: { limits: { memory: "5Mi" } } });
    const envOf = (containerName: string) =>
      containerEnv({
        pod: pod("a", { initContainers: [side] }),
        container: container("main", {
          resources: { limits: { memory: "1Mi" } },
          env: [{ name: "M", valueFrom: { resourceFieldRef: { containerName, resource: "limits.memory", divisor: "1Mi" } } }],
        }),
        facts: FACTS,
        objects,
      }).values.get("M");
    assert.deepEqual([envOf("side"), envOf("")], ["5", "1"]);
    refuses(() => envOf("nobody"), "Invalid", /names container "nobody", which is not in the pod/);
  });

  it("names what is missing, unless it is optional", () => {
    refuses(
      () => env({ env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "absent", key: "k" } } }] }),
      "NotFound",
      /^configmap "absent" not found$/,
    );
    refuses(
      () => env({ env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "given", key: "k" } } }] }),
      "NotFound",
      /^couldn't find key k in ConfigMap default\/given$/,
    );
    refuses(() => env({ envFrom: [{ secretRef: { name: "unheard" } }] }), "ServiceUnavailable", /control plane has not sent it/);
    const { values } = env({
      envFrom: [{ configMapRef: { name: "absent", optional: true } }],
      env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "given", key: "k", optional: true } } }],
    });
    assert.equal(values.size, 0);
  });
});

describe("fields of the pod", () => {
  const object = pod("a", { serviceAccountName: "robot" }, { labels: { b: "2", a: 'say "1"' }, annotations: { note: "x" } });
  const cases: [path: string, expected: string][] = [
    ["metadata.name", "a"],
    ["metadata.namespace", "default"],
    ["metadata.uid", "uid-a"],
    ["metadata.labels", 'a="say \\"1\\""\nb="2"'],
    ["metadata.labels['b']", "2"],
    ["metadata.annotations['note']", "x"],
    ["metadata.annotations['other']", ""],
    ["spec.nodeName", "node-1"],
    ["spec.serviceAccountName", "robot"],
    ["status.hostIP", "192.0.2.1"],
    ["status.podIP", "10.64.1.7"],
    ["status.podIPs", "10.64.1.7"],
  ];
  for (const [path, expected] of cases) it(path, () => assert.equal(fieldValue(object, FACTS, { fieldPath: path }), expected));

  it("refuses other paths", () =>
    refuses(() => fieldValue(object, FACTS, { fieldPath: "spec.containers" }), "Invalid", /spec\.containers/));

  it("gives resources in units of the divisor, rounded up, and the node's where there is no limit", () => {
    const limited = container("main", { resources: { limits: { memory: "100Mi", cpu: "250m" }, requests: { memory: "10M" } } });
    const value = (resource: string, divisor?: string) => resourceValue(limited, FACTS, { resource, divisor });
    assert.equal(value("limits.memory"), String(100 * 2 ** 20));
    assert.equal(value("limits.memory", "1Mi"), "100");
    assert.equal(value("requests.memory", "1Mi"), "10");
    assert.equal(value("limits.cpu", "1m"), "250");
    assert.equal(value("limits.cpu"), "1");
    assert.equal(value("requests.cpu"), "0");
    assert.equal(resourceValue(container("main"), FACTS, { resource: "limits.memory", divisor: "1Gi" }), "8");
  });
});

describe("accounts of an image", () => {
  let folder: string;
  const layer = (name: string) => join(folder, name);
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "tessera-image-"));
    for (const name of ["upper/etc", "lower/etc", "lower/real", "linked", "fifo/etc", "huge/etc", "whiteout/etc", "loop/etc"]) {
      await mkdir(join(folder, name), { recursive: true });
    }
    await writeFile(layer("lower/etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:101:102::/srv/web:/bin/sh\nbad:x:::\nlast:x:7:8::/:");
    await writeFile(layer("lower/etc/group"), "root:x:0:\nweb:x:102:\nextra:x:500:web,root\nstaff:x:50:\n");
    await writeFile(layer("upper/etc/passwd"), "web:x:201:202::/over:/bin/sh\n");
    await symlink("/real", layer("linked/etc"));
    await writeFile(layer("lower/real/passwd"), "linked:x:9:9::/:\n");
    await symlink("/../../../../../../etc/hostname", layer("lower/out"));
    execFileSync("mkfifo", [layer("fifo/etc/passwd")]);
    await writeFile(layer("huge/etc/passwd"), "");
    await truncate(layer("huge/etc/passwd"), 2 ** 31);
    execFileSync("mknod", [layer("whiteout/etc/passwd"), "c", "0", "0"]);
    await symlink("passwd", layer("loop/etc/passwd"));
  });
  after(() => rm(folder, { recursive: true }));

  const user = async (imageUser: string, more: { pod?: object; container?: object; layers?: string[] } = {}) => {
    const accounts = await new AccountReader().read((more.layers ?? ["lower"]).map(layer));
    return resolveUser({ pod: more.pod ?? {}, container: more.container ?? {}, imageUser, accounts });
  };

  it("are found by name and number, with their groups and home", async () => {
    assert.deepEqual(await user(""), { uid: 0, gid: 0, additionalGids: [0, 500], home: "/root" });
    assert.deepEqual(await user("web"), { uid: 101, gid: 102, additionalGids: [102, 500], home: "/srv/web" });
    assert.deepEqual(await user("101"), { uid: 101, gid: 102, additionalGids: [102, 500], home: "/srv/web" });
    assert.deepEqual(await user("web:staff"), { uid: 101, gid: 50, additionalGids: [50, 500], home: "/srv/web" });
    assert.deepEqual(await user("4242:17"), { uid: 4242, gid: 17, additionalGids: [17], home: "/" });
  });

  it("give way to what the pod asks for", async () => {
    const asked = await user("web", { pod: { runAsUser: 7, fsGroup: 2000, supplementalGroups: [3000] }, container: { runAsGroup: 9 } });
    assert.deepEqual(asked, { uid: 7, gid: 9, additionalGids: [9, 2000, 3000], home: "/" });
    const strict = await user("web", { pod: { supplementalGroupsPolicy: "Strict" } });
    assert.deepEqual(strict.additionalGids, [102]);
  });

  it("are read from the topmost layer that has them, links followed inside the image", async () => {
    assert.equal((await user("web", { layers: ["upper", "lower"] })).uid, 201);
    assert.equal((await user("linked", { layers: ["linked", "lower"] })).uid, 9);
    assert.equal(
      await readImageFile([layer("lower")], "/out", 4096),
      undefined,
      "a link to the outside leads to the image's own /etc/hostname",
    );
    await assert.rejects(user("web", { layers: ["whiteout", "lower"] }), /not in its \/etc\/passwd/);
  });

  it("are refused when they are beyond what the kernel takes, or not there", async () => {
    for (const name of ["-1", "4294967295", "4294967296", "0x0", "１", "nobody", "web:nogroup", "1e3"]) {
      await assert.rejects(user(name), { reason: "Invalid" }, name);
    }
    await assert.rejects(user("", { container: { runAsUser: 2 ** 31 } }), { reason: "Invalid" });
  });

  it("neither hang nor fill the memory when the image is hostile", async () => {
    await assert.rejects(user("web", { layers: ["fifo"] }), /not a regular file/);
    await assert.rejects(user("web", { layers: ["huge"] }), /at most/);
    await assert.rejects(user("web", { layers: ["loop"] }), /too many symbolic links/);
  });

  it("hold the pod to runAsNonRoot by the number that they come to", async () => {
    await assert.rejects(user("", { pod: { runAsNonRoot: true } }), /runAsNonRoot and image will run as root/);
    await assert.rejects(user("web", { pod: { runAsNonRoot: true }, container: { runAsUser: 0 } }), /runAsUser is 0/);
    assert.equal((await user("web", { pod: { runAsNonRoot: true } })).uid, 101);
  });
});

describe("capabilities", () => {
  it("are the usual ones, with what is added and without what is dropped", () => {
    assert.equal(containerCapabilities({}).length, 14);
    assert.ok(containerCapabilities({ capabilities: { add: ["CAP_NET_ADMIN", "sys_time"] } }).includes("NET_ADMIN"));
    assert.ok(!containerCapabilities({ capabilities: { drop: ["NET_RAW"] } }).includes("NET_RAW"));
    assert.deepEqual(containerCapabilities({ capabilities: { drop: ["ALL"], add: ["CHOWN"] } }), ["CHOWN"]);
    assert.equal(containerCapabilities({ capabilities: { add: ["ALL"], drop: ["SYS_ADMIN"] } }).length, 40);
    assert.equal(containerCapabilities({ privileged: true }).length, 41);
    refuses(() => containerCapabilities({ capabilities: { add: ["NET_ADMINN"] } }), "Invalid", /"NET_ADMINN" does not exist/);
  });
});

describe("the pod's own /etc files", () => {
  const node = "nameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch example.org\noptions ndots:2 edns0\n";

  it("resolve as the node does, without what only the node can reach, plus the pod's dnsConfig", () => {
    assert.equal(podResolvConf(pod("a"), node), "nameserver 192.0.2.53\nsearch example.org\noptions ndots:2 edns0\n");
    const dnsConfig = { nameservers: ["198.51.100.1"], searches: ["pod.test"], options: [{ name: "ndots", value: "5" }] };
    assert.equal(
      podResolvConf(pod("a", { dnsConfig }), node),
      "nameserver 192.0.2.53\nnameserver 198.51.100.1\nsearch example.org pod.test\noptions edns0 ndots:5\n",
    );
    assert.equal(
      podResolvConf(pod("a", { dnsPolicy: "None", dnsConfig }), node),
      "nameserver 198.51.100.1\nsearch pod.test\noptions ndots:5\n",
    );
  });

  it("resolve exactly as the node in the node's network, unless the pod says otherwise", () => {
    assert.equal(podResolvConf(pod("a", { hostNetwork: true }), node), node);
    const dnsConfig = { nameservers: ["198.51.100.1"] };
    assert.match(podResolvConf(pod("a", { hostNetwork: true, dnsConfig }), node), /^nameserver 198\.51\.100\.1$/m);
    const own = podResolvConf(pod("a", { hostNetwork: true, dnsPolicy: "None", dnsConfig }), node);
    assert.equal(own, "nameserver 198.51.100.1\n");
    for (const dnsPolicy of ["Default", "ClusterFirst", "ClusterFirstWithHostNet"])
      assert.match(podResolvConf(pod("a", { dnsPolicy }), node), /^nameserver 192\.0\.2\.53$/m, dnsPolicy);
  });

  it("name the pod and its aliases", () => {
    const object = pod("a", { hostname: "web", subdomain: "site", hostAliases: [{ ip: "192.0.2.9", hostnames: ["x", "y"] }] });
    const hosts = podHosts(object, { addresses: ["10.64.1.7"], nodeHosts: "" });
    assert.match(hosts, /^10\.64\.1\.7\tweb\.site\.default\.svc\.cluster\.local\tweb$/m);
    assert.match(hosts, /^192\.0\.2\.9\tx\ty$/m);
    assert.equal(podHosts(pod("a", { hostNetwork: true }), { addresses: [], nodeHosts: "127.0.0.1 n\n" }), "127.0.0.1 n\n");
  });

  it("take no line that the pod smuggles in", () => {
    refuses(
      () => podResolvConf(pod("a", { dnsConfig: { searches: ["x\nnameserver 192.0.2.66"] } }), node),
      "Invalid",
      /control characters/,
    );
    const hostAliases = [{ ip: "192.0.2.9", hostnames: ["x\n10.0.0.1 y"] }];
    refuses(() => podHosts(pod("a", { hostAliases }), { addresses: [], nodeHosts: "" }), "Invalid", /control characters/);
  });

  it("carry the name that the pod asks for: with its domain, or another one altogether", () => {
    const named = { hostname: "web", subdomain: "site", setHostnameAsFQDN: true };
    assert.equal(podHostname(pod("a", named), "node"), "web.site.default.svc.cluster.local");
    assert.equal(podHostname(pod("a", { setHostnameAsFQDN: true }), "node"), "a", "there is no domain without a subdomain");
    assert.equal(podHostname(pod("a", { hostname: "web", subdomain: "site" }), "node"), "web");
    const long = pod("a", { ...named, subdomain: "x".repeat(60) });
    refuses(
      () => podHostname(long, "node"),
      "Invalid",
      /hostname "web\.x+\.default\.svc\.cluster\.local" is 90 characters long; at most 64/,
    );
    const other = pod("a", { hostname: "web", subdomain: "site", hostnameOverride: "db.example.org" });
    assert.equal(podHostname(other, "node"), "db.example.org");
    assert.match(podHosts(other, { addresses: ["10.64.1.7"], nodeHosts: "" }), /^10\.64\.1\.7\tdb\.example\.org$/m);
  });

  it("carry a hostname of at most 63 characters", () => {
    assert.equal(podHostname(pod(`${"x".repeat(62)}-yz`), "node"), "x".repeat(62));
    assert.equal(podHostname(pod("a", { hostname: "web" }), "node"), "web");
    assert.equal(podHostname(pod("a", { hostNetwork: true }), "node"), "node");
  });
});

describe("kernel settings and signals", () => {
  it("of a pod are only those that are its own", () => {
    const refusal = (name: string, value: string, more: PodSpec = {}, allowed: readonly string[] = []) =>
      sysctlRefusal(pod("a", { ...more, securityContext: { sysctls: [{ name, value }] } }), allowed) ?? "none";
    const safe = pod("a", { securityContext: { sysctls: [{ name: "net/ipv4/tcp_syncookies", value: "1" }] } });
    assert.equal(sysctlRefusal(safe, []), undefined);
    assert.deepEqual(podSysctls(safe), { "net.ipv4.tcp_syncookies": "1" });
    assert.match(refusal("kernel.core_pattern", "1"), /"kernel\.core_pattern" belongs to the whole node/);
    assert.match(refusal("kernel.core_pattern", "1", {}, ["kernel.*"]), /belongs to the whole node/);
    assert.match(refusal("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/x"), /not a list of numbers/);
    assert.match(refusal("net.ipv4.tcp_syncookies", "1", { hostNetwork: true }), /shares the node's network namespace/);
    assert.match(refusal("kernel.msgmax", "1", { hostIPC: true }, ["kernel.msg*"]), /shares the node's IPC namespace/);
    assert.match(refusal("net.core.somaxconn", "1"), /not one of the safe ones.*--allowed-unsafe-sysctl/);
    assert.match(refusal("net.core.somaxconn", "1", {}, ["net.core"]), /not one of the safe ones/);
    assert.equal(refusal("net.core.somaxconn", "1", {}, ["net.core.*"]), "none");
    assert.equal(refusal("kernel.sem", "32000 1024000000 500 32000", {}, ["kernel.sem"]), "none");
  });

  it("have the names that images use", () => {
    const names = ["SIGQUIT", "quit", "3", "SIGRTMIN+3", "SIGRTMIN", "SIGRTMAX-14", "SIGRTMAX", "", "nonsense", "99"];
    assert.deepEqual(names.map(signalNumber), [3, 3, 3, 37, 34, 50, 64, 15, 15, 15]);
    assert.deepEqual([15, 6, 34, 37, 49, 50, 64].map(signalName), [
      "SIGTERM",
      "SIGABRT",
      "SIGRTMIN",
      "SIGRTMIN+3",
      "SIGRTMIN+15",
      "SIGRTMAX-14",
      "SIGRTMAX",
    ]);
    for (let number = 1; number <= 64; number++) if (number !== 32 && number !== 33) assert.equal(signalNumber(signalName(number)), number);
  });
});
