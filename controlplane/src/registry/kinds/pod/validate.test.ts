import assert from "node:assert/strict";
import test from "node:test";
import type { Container, PodAffinityTerm, PodSpec, TopologySpreadConstraint } from "@tessera/proto";
import { validatePod } from "./validate.ts";

const web: Container = { name: "web", image: "web:1" };

/** What is wrong with a pod of one good container and the given spec, as "path: message". */
function faultsOf(spec: PodSpec): string[] {
  return validatePod({ metadata: { name: "p" }, spec: { containers: [web], ...spec } }).map((fault) => `${fault.path}: ${fault.message}`);
}

const container = (change: Container): PodSpec => ({ containers: [{ ...web, ...change }] });
const spread = (change: TopologySpreadConstraint): TopologySpreadConstraint => ({
  maxSkew: 1,
  topologyKey: "zone",
  whenUnsatisfiable: "DoNotSchedule",
  ...change,
});
const awayFrom = (term: PodAffinityTerm): PodSpec => ({
  affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "zone", ...term }] } },
});
const probe = { httpGet: { path: "/", port: 80 } };

/** What is wrong with the annotation that asks for an init, on a pod of the containers "web" and, before it, "setup". */
function initFaults(value: string): string[] {
  const spec = { initContainers: [{ name: "setup", image: "s" }], containers: [web] };
  const faults = validatePod({ metadata: { name: "p", annotations: { "tessera.dev/init": value } }, spec });
  return faults.map((fault) => `${fault.path}: ${fault.message}`);
}

test("an init is asked for in all, in none, or in containers that there are", () => {
  for (const value of ["true", "false", "web", "setup, web"]) assert.deepEqual(initFaults(value), [], value);
  for (const value of ["yes", "", "web,db", "True"])
    assert.match(initFaults(value)[0] ?? "", /tessera\.dev\/init.*"true", "false" or names.*setup, web/, value);
});

test("a plain pod has no faults", () => assert.deepEqual(faultsOf({}), []));

test("a pod that uses everything has no faults", () => {
  assert.deepEqual(
    faultsOf({
      activeDeadlineSeconds: 1,
      terminationGracePeriodSeconds: 0,
      hostname: "a",
      subdomain: "b",
      dnsPolicy: "None",
      dnsConfig: { nameservers: ["10.0.0.1"], searches: ["a.b", "_x.c."], options: [{ name: "ndots", value: "2" }] },
      hostAliases: [{ ip: "::1", hostnames: ["a"] }],
      nodeSelector: { "kubernetes.io/os": "linux" },
      securityContext: { runAsUser: 0, supplementalGroups: [1], sysctls: [{ name: "net.core.somaxconn", value: "1" }] },
      tolerations: [{ operator: "Exists" }, { key: "a", value: "b", effect: "NoExecute", tolerationSeconds: 3 }],
      volumes: [
        { name: "e", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
        { name: "h", hostPath: { path: "/var", type: "Directory" } },
        { name: "c", configMap: { name: "c", items: [{ key: "k", path: "a/b", mode: 0o400 }] } },
        { name: "s", secret: { secretName: "s", defaultMode: 0 } },
        { name: "d", downwardAPI: { items: [{ path: "l", fieldRef: { fieldPath: "metadata.labels['a/b']" } }] } },
        {
          name: "p",
          projected: { sources: [{ configMap: { name: "c" } }, { secret: { name: "s", items: [{ key: "k", path: "t", mode: 0o400 }] } }] },
        },
      ],
      initContainers: [
        { name: "i", image: "i" },
        { name: "s", image: "s", restartPolicy: "Always", readinessProbe: probe },
      ],
      containers: [
        {
          ...web,
          ports: [
            { containerPort: 80, name: "http", protocol: "TCP" },
            { containerPort: 80, protocol: "UDP" },
          ],
          env: [
            { name: "A", value: "$(B)" },
            { name: "B", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
          ],
          envFrom: [{ prefix: "X_", secretRef: { name: "s" } }],
          resources: { requests: { cpu: "100m" }, limits: { cpu: "100m", "example.com/gpu": "1" } },
          volumeMounts: [
            { name: "e", mountPath: "/e", subPath: "a/b" },
            { name: "h", mountPath: "/h" },
          ],
          livenessProbe: { ...probe, httpGet: { port: "http" } },
          lifecycle: { preStop: { sleep: { seconds: 1 } } },
        },
      ],
    }),
    [],
  );
});

const rows: { [sentence: string]: [spec: PodSpec, fault: string | RegExp] } = {
  "a pod needs a container": [{ containers: [] }, "spec.containers: Required value"],
  "a container needs a name": [{ containers: [{ image: "a" }] }, "spec.containers[0].name: Required value"],
  "a container needs an image": [{ containers: [{ name: "a" }] }, "spec.containers[0].image: Required value"],
  "names of containers are DNS labels": [
    container({ name: "a.b" }),
    /^spec\.containers\[0\]\.name: Invalid value: "a\.b": a lowercase RFC 1123 label/,
  ],
  "names are unique over init and other containers": [{ initContainers: [web] }, 'spec.containers[0].name: Duplicate value: "web"'],
  "ports are numbers of ports": [
    container({ ports: [{ containerPort: 70_000 }] }),
    /ports\[0\]\.containerPort: Invalid value: 70000: must be between 1 and 65535/,
  ],
  "port names are unique in a container": [
    container({
      ports: [
        { containerPort: 1, name: "a" },
        { containerPort: 2, name: "a" },
      ],
    }),
    'spec.containers[0].ports[1].name: Duplicate value: "a"',
  ],
  "a host port is taken once": [
    {
      containers: [
        { ...web, ports: [{ containerPort: 1, hostPort: 80 }] },
        { name: "b", image: "b", ports: [{ containerPort: 2, hostPort: 80 }] },
      ],
    },
    "spec.containers[1].ports[0].hostPort: Duplicate value: 80",
  ],
  "host ports are the ports when the network is the host's": [
    { hostNetwork: true, ...container({ ports: [{ containerPort: 1, hostPort: 2 }] }) },
    /hostPort: Invalid value: 2: must match `containerPort`/,
  ],
  "mounts name a volume": [
    container({ volumeMounts: [{ name: "x", mountPath: "/x" }] }),
    'spec.containers[0].volumeMounts[0].name: Not found: "x"',
  ],
  "mount paths are unique": [
    {
      volumes: [{ name: "v", emptyDir: {} }],
      ...container({
        volumeMounts: [
          { name: "v", mountPath: "/a" },
          { name: "v", mountPath: "/a" },
        ],
      }),
    },
    'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique',
  ],
  "a sub path stays in its volume": [
    { volumes: [{ name: "v", emptyDir: {} }], ...container({ volumeMounts: [{ name: "v", mountPath: "/a", subPath: "../x" }] }) },
    /subPath: Invalid value: "\.\.\/x": must not contain '\.\.'/,
  ],
  "a sub path is relative": [
    { volumes: [{ name: "v", emptyDir: {} }], ...container({ volumeMounts: [{ name: "v", mountPath: "/a", subPathExpr: "/$(X)" }] }) },
    /subPathExpr: Invalid value: "\/\$\(X\)": must be a relative path/,
  ],
  "only a privileged container hands its mounts on": [
    {
      volumes: [{ name: "v", emptyDir: {} }],
      ...container({ volumeMounts: [{ name: "v", mountPath: "/a", mountPropagation: "Bidirectional" }] }),
    },
    /mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers/,
  ],
  "what nobody can project is refused": [
    { volumes: [{ name: "v", projected: { sources: [{ clusterTrustBundle: { path: "token" } }] } }], ...container({}) },
    /sources\[0\]\.clusterTrustBundle: Forbidden: .*not supported yet/,
  ],
  "names of variables have no equal sign": [container({ env: [{ name: "A=B" }] }), /env\[0\]\.name: Invalid value: "A=B"/],
  "a variable has one source": [
    container({ env: [{ name: "A", value: "x", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }] }),
    /env\[0\]\.valueFrom: Invalid value: "": may not be specified when `value` is not empty/,
  ],
  "fields that can be had are known": [
    container({ env: [{ name: "A", valueFrom: { fieldRef: { fieldPath: "spec.foo" } } }] }),
    /fieldRef\.fieldPath: Unsupported value: "spec\.foo": supported values: "metadata\.name"/,
  ],
  "fields are those of the pod's own version": [
    container({ env: [{ name: "A", valueFrom: { fieldRef: { apiVersion: "v2", fieldPath: "metadata.name" } } }] }),
    /fieldRef\.apiVersion: Unsupported value: "v2": supported values: "v1"/,
  ],
  "variables do not come out of files": [
    container({ env: [{ name: "A", valueFrom: { fileKeyRef: { volumeName: "v", path: "p", key: "k" } } }] }),
    /env\[0\]\.valueFrom: Invalid value: "": must specify one of: `fieldRef`/,
  ],
  "single exit codes have no rules": [
    container({ restartPolicyRules: [{ action: "Restart", exitCodes: { operator: "In", values: [7] } }] }),
    /restartPolicyRules: Forbidden: .*not supported yet/,
  ],
  "devices cannot be claimed": [
    { resourceClaims: [{ name: "gpu" }], ...container({ resources: { claims: [{ name: "gpu" }] } }) },
    "spec.resourceClaims: Forbidden: dynamic resource allocation is not supported",
  ],
  "containers do not say which devices they claim": [
    container({ resources: { claims: [{ name: "gpu" }] } }),
    "spec.containers[0].resources.claims: Forbidden: dynamic resource allocation is not supported",
  ],
  "block devices are no volumes": [
    container({ volumeDevices: [{ name: "v", devicePath: "/dev/x" }] }),
    "spec.containers[0].volumeDevices: Forbidden: block devices are not supported",
  ],
  "all of /proc is for users of the pod's own": [
    container({ securityContext: { procMount: "Unmasked" } }),
    /securityContext\.procMount: Invalid value: "Unmasked": needs user namespaces/,
  ],
  "a pod is for Linux": [{ os: { name: "windows" } }, /^spec\.os\.name: Unsupported value: "windows": supported values: "linux"/],
  "processes are shared among containers or with the node": [
    { hostPID: true, shareProcessNamespace: true },
    /^spec\.shareProcessNamespace: Invalid value: true: .*cannot both be enabled/,
  ],
  "users of the pod's own are not for the node's namespaces": [{ hostUsers: false, hostPID: true }, /^spec\.hostPID: Forbidden/],
  "an alias has an address": [{ hostAliases: [{ ip: "a", hostnames: ["b"] }] }, /^spec\.hostAliases\[0\]\.ip: Invalid value: "a"/],
  "an alias is a name": [
    { hostAliases: [{ ip: "::1", hostnames: ["B_"] }] },
    /^spec\.hostAliases\[0\]\.hostnames\[0\]: Invalid value: "B_"/,
  ],
  "a resolver asks three servers at most": [
    { dnsConfig: { nameservers: ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"] } },
    /^spec\.dnsConfig\.nameservers: Invalid value: .*must not have more than 3 nameservers/,
  ],
  "a server of names has an address": [
    { dnsConfig: { nameservers: ["ns.example.org"] } },
    /nameservers\[0\]: Invalid value: "ns\.example\.org"/,
  ],
  "an option of the resolver has a name": [{ dnsConfig: { options: [{ value: "2" }] } }, /options\[0\]\.name: Required value/],
  "a kernel setting is set once": [
    {
      securityContext: {
        sysctls: [
          { name: "kernel.sem", value: "1" },
          { name: "kernel.sem", value: "2" },
        ],
      },
    },
    /sysctls\[1\]\.name: Duplicate value: "kernel\.sem"/,
  ],
  "the node's network has the node's settings": [
    { hostNetwork: true, securityContext: { sysctls: [{ name: "net.core.somaxconn", value: "1" }] } },
    /sysctls\[0\]\.name: Invalid value: "net\.core\.somaxconn": may not be specified when 'hostNetwork' is true/,
  ],
  "a key of a ConfigMap is a file name": [
    container({ env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "c", key: "a/b" } } }] }),
    /configMapKeyRef\.key: Invalid value/,
  ],
  "requests are not above limits": [
    container({ resources: { requests: { memory: "2Gi" }, limits: { memory: "1Gi" } } }),
    'spec.containers[0].resources.requests: Invalid value: "2Gi": must be less than or equal to memory limit of 1Gi',
  ],
  "quantities are quantities": [container({ resources: { limits: { cpu: "much" } } }), /limits\[cpu\]: Invalid value: "much"/],
  "quantities are not negative": [
    container({ resources: { limits: { cpu: "-1" } } }),
    /limits\[cpu\]: Invalid value: "-1": must be greater than or equal to 0/,
  ],
  "unknown resources have a domain": [
    container({ resources: { limits: { gpu: "1" } } }),
    /must be a standard resource type or fully qualified/,
  ],
  "devices come whole": [container({ resources: { limits: { "example.com/gpu": "500m" } } }), /must be an integer/],
  "huge pages have a size": [
    container({ resources: { limits: { "hugepages-big": "2Mi", memory: "1Gi" } } }),
    /limits\[hugepages-big\]: Invalid value: "2Mi": "big" is not the size of a page/,
  ],
  "huge pages come whole": [
    container({ resources: { limits: { "hugepages-2Mi": "3Mi", memory: "1Gi" } } }),
    /must be a multiple of the page's size, 2Mi/,
  ],
  "huge pages do not come alone": [
    container({ resources: { limits: { "hugepages-2Mi": "4Mi" } } }),
    "spec.containers: Forbidden: HugePages require cpu or memory",
  ],
  "a probe does something": [
    container({ livenessProbe: {} }),
    "spec.containers[0].livenessProbe: Required value: must specify a handler type",
  ],
  "a probe does one thing": [
    container({ livenessProbe: { exec: { command: ["a"] }, tcpSocket: { port: 1 } } }),
    "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
  ],
  "liveness succeeds once": [
    container({ livenessProbe: { ...probe, successThreshold: 2 } }),
    /successThreshold: Invalid value: 2: must be 1/,
  ],
  "a stop signal is one of Linux'": [
    { ...container({ lifecycle: { stopSignal: "SIGNAL" } }), os: { name: "linux" } },
    /lifecycle\.stopSignal: Unsupported value: "SIGNAL": supported values: "SIGABRT", /,
  ],
  "a stop signal needs to know the system": [
    container({ lifecycle: { stopSignal: "SIGRTMIN+3" } }),
    "spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`",
  ],
  "init containers are not probed": [
    { initContainers: [{ name: "i", image: "i", livenessProbe: probe }] },
    /initContainers\[0\]\.livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always/,
  ],
  "only sidecars restart on their own terms": [
    container({ restartPolicy: "Always" }),
    /restartPolicy: Forbidden: may not be set for non-init containers/,
  ],
  "names of volumes are unique": [
    {
      volumes: [
        { name: "v", emptyDir: {} },
        { name: "v", emptyDir: {} },
      ],
    },
    'spec.volumes[1].name: Duplicate value: "v"',
  ],
  "a volume has a source": [{ volumes: [{ name: "v" }] }, /^spec\.volumes\[0\]: Required value: must specify a volume type/],
  "a volume has one source": [
    { volumes: [{ name: "v", emptyDir: {}, configMap: { name: "c" } }] },
    "spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type",
  ],
  "volumes that nobody can mount are refused": [
    { volumes: [{ name: "v", nfs: { server: "a", path: "/" } }] },
    /^spec\.volumes\[0\]\.nfs: Forbidden: volumes of this type are not supported yet/,
  ],
  "a host path does not go up": [
    { volumes: [{ name: "v", hostPath: { path: "/a/../b" } }] },
    /hostPath\.path: Invalid value: "\/a\/\.\.\/b"/,
  ],
  "file modes are modes": [
    { volumes: [{ name: "v", secret: { secretName: "s", defaultMode: 0o1777 } }] },
    /defaultMode: Invalid value: 1023/,
  ],
  "projected files stay in their volume": [
    { volumes: [{ name: "v", configMap: { name: "c", items: [{ key: "k", path: "/etc/passwd" }] } }] },
    /items\[0\]\.path: Invalid value: "\/etc\/passwd": must be a relative path/,
  ],
  "a deadline is positive": [{ activeDeadlineSeconds: 0 }, /^spec\.activeDeadlineSeconds: Invalid value: 0: must be between 1 and/],
  "grace is not negative": [{ terminationGracePeriodSeconds: -1 }, /^spec\.terminationGracePeriodSeconds: Invalid value: -1/],
  "a toleration of everything says so": [
    { tolerations: [{ operator: "Equal", value: "x" }] },
    /operator must be Exists when `key` is empty/,
  ],
  "only NoExecute waits": [
    { tolerations: [{ key: "a", operator: "Exists", effect: "NoSchedule", tolerationSeconds: 1 }] },
    /effect must be 'NoExecute' when `tolerationSeconds` is set/,
  ],
  "node selectors are labels": [{ nodeSelector: { a: "b c" } }, /^spec\.nodeSelector: Invalid value: "b c": a valid label/],
  "affinity has terms": [
    { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: {} } } },
    /nodeSelectorTerms: Required value: must have at least one node selector term/,
  ],
  "another hostname is a name": [
    { hostnameOverride: "Web" },
    /^spec\.hostnameOverride: Invalid value: "Web": a lowercase RFC 1123 subdomain/,
  ],
  "another hostname fits the kernel": [{ hostnameOverride: `a.${"b".repeat(63)}` }, /must be no more than 64 characters/],
  "the node's network comes with the node's hostname": [{ hostnameOverride: "a", hostNetwork: true }, /^spec\.hostnameOverride: Forbidden/],
  "another hostname has no domain of the pod's": [{ hostnameOverride: "a", setHostnameAsFQDN: true }, /^spec\.hostnameOverride: Forbidden/],
  "pods are selected by labels": [
    awayFrom({ labelSelector: { matchExpressions: [{ key: "app", operator: "In" }] } }),
    /\[0\]\.labelSelector\.matchExpressions\[0\]\.values: Required value/,
  ],
  "namespaces are selected by labels": [
    awayFrom({ namespaceSelector: { matchLabels: { team: "a b" } } }),
    /\[0\]\.namespaceSelector\.matchLabels: Invalid value: "a b"/,
  ],
  "keys need a selector to be part of": [
    awayFrom({ matchLabelKeys: ["app"] }),
    /\[0\]\.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set/,
  ],
  "a key is matched or mismatched": [
    awayFrom({ labelSelector: {}, matchLabelKeys: ["app"], mismatchLabelKeys: ["app"] }),
    /\[0\]\.matchLabelKeys\[0\]: Invalid value: "app": exists in both matchLabelKeys and mismatchLabelKeys/,
  ],
  "a key is selected once": [
    awayFrom({
      labelSelector: { matchLabels: { app: "web" }, matchExpressions: [{ key: "app", operator: "In", values: ["web"] }] },
      matchLabelKeys: ["app"],
    }),
    /\[0\]\.matchLabelKeys\[0\]: Invalid value: "app": exists in both matchLabelKeys and labelSelector/,
  ],
  "a topology is spread over once in each way": [
    { topologySpreadConstraints: [spread({}), spread({ whenUnsatisfiable: "ScheduleAnyway" }), spread({ maxSkew: 2 })] },
    'spec.topologySpreadConstraints[2].{topologyKey, whenUnsatisfiable}: Duplicate value: "{zone, DoNotSchedule}"',
  ],
  "a minimum of domains is for those that insist": [
    { topologySpreadConstraints: [spread({ whenUnsatisfiable: "ScheduleAnyway", minDomains: 2 })] },
    /\[0\]\.minDomains: Invalid value: 2: can only be set with whenUnsatisfiable DoNotSchedule/,
  ],
  "constraints select by labels": [
    { topologySpreadConstraints: [spread({ labelSelector: { matchLabels: { "a b": "c" } } })] },
    /\[0\]\.labelSelector\.matchLabels: Invalid value: "a b"/,
  ],
  "DNS None needs a server": [{ dnsPolicy: "None" }, /^spec\.dnsConfig\.nameservers: Required value/],
  "user ids are ids": [{ securityContext: { runAsUser: -1 } }, /^spec\.securityContext\.runAsUser: Invalid value: -1/],
  "a privileged container cannot forbid escalation": [
    container({ securityContext: { privileged: true, allowPrivilegeEscalation: false } }),
    /cannot set `allowPrivilegeEscalation` to false and `privileged` to true/,
  ],
  "a local seccomp profile has a name": [
    container({ securityContext: { seccompProfile: { type: "Localhost" } } }),
    /seccompProfile\.localhostProfile: Required value/,
  ],
};

for (const [sentence, [spec, fault]] of Object.entries(rows)) {
  test(sentence, () => {
    const faults = faultsOf(spec);
    assert.ok(
      faults.some((each) => (typeof fault === "string" ? each === fault : fault.test(each))),
      `expected ${fault} in\n${faults.join("\n")}`,
    );
  });
}

test("all faults of a pod are told at once", () => {
  assert.equal(faultsOf({ activeDeadlineSeconds: 0, volumes: [{ name: "v" }], ...container({ name: "A", image: "" }) }).length, 4);
});
