import assert from "node:assert/strict";
import { test } from "node:test";
import { schemaOf } from "./catalog.ts";
import { decodeObject } from "./decode.ts";
import type { FieldFault } from "./field-fault.ts";
import type { KindSchema } from "./schema.ts";

function core(kind: string): KindSchema {
  const schema = schemaOf({ group: "", version: "v1", kind });
  assert.ok(schema, `no schema of ${kind}`);
  return schema;
}

function podWith(spec: object, container: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web" },
    spec: { containers: [{ name: "web", image: "web:1", ...container }], ...spec },
  };
}

function faultsOf(value: unknown, kind = "Pod"): string[] {
  return decodeObject(core(kind), value).faults.map((fault) => `${fault.type} ${fault.path}: ${fault.message}`);
}

test("an object without faults comes back in the order of the schema, and as a fresh copy", () => {
  const given = {
    spec: { containers: [{ image: "web:1", name: "web" }] },
    metadata: { labels: { app: "web" }, name: "web" },
    kind: "Pod",
    apiVersion: "v1",
  };
  const before = structuredClone(given);
  const { object, faults } = decodeObject(core("Pod"), given);
  assert.deepEqual(faults, []);
  assert.equal(
    JSON.stringify(object),
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"web:1"}]}}',
  );
  assert.deepEqual(given, before);
  assert.notEqual((object as { metadata: unknown }).metadata, given.metadata);
});

test("each fault has its type, path and a message that says what to do", () => {
  const table: [what: string, value: unknown, faults: string[]][] = [
    [
      "a misspelt field",
      podWith({}, { imagePulPolicy: "Always" }),
      ["UnknownField spec.containers[0].imagePulPolicy: unknown field, did you mean imagePullPolicy?"],
    ],
    [
      "a field in another case",
      podWith({ hostnetwork: true }),
      ["UnknownField spec.hostnetwork: unknown field, did you mean hostNetwork?"],
    ],
    ["a field with dashes", podWith({ "node-name": "a" }), ["UnknownField spec.node-name: unknown field, did you mean nodeName?"]],
    [
      "a field of an outer object",
      podWith({}, { nodeSelector: {} }),
      ["UnknownField spec.containers[0].nodeSelector: unknown field, it belongs to spec"],
    ],
    [
      "a field of an inner object",
      podWith({ runAsUser: 1 }),
      ["UnknownField spec.runAsUser: unknown field, it belongs to securityContext"],
    ],
    ["a field of list items", podWith({ image: "x" }), ["UnknownField spec.image: unknown field, it belongs to the items of containers"]],
    ["a field like nothing", podWith({ zzzzzzzzzzzz: 1 }), ["UnknownField spec.zzzzzzzzzzzz: unknown field"]],
    [
      "a field named like a part of every JavaScript object",
      podWith({ constructor: 1, toString: 2 }),
      ["UnknownField spec.constructor: unknown field", "UnknownField spec.toString: unknown field"],
    ],
    [
      "a number where text is due",
      podWith({}, { env: [{ name: "A", value: 8080 }] }),
      ['WrongType spec.containers[0].env[0].value: must be a string, not the number 8080; write it in quotes: "8080"'],
    ],
    [
      "a truth value where text is due",
      podWith({}, { env: [{ name: "A", value: true }] }),
      ['WrongType spec.containers[0].env[0].value: must be a string, not true; write it in quotes: "true"'],
    ],
    [
      "text where a number is due",
      podWith({ terminationGracePeriodSeconds: "30" }),
      ['WrongType spec.terminationGracePeriodSeconds: must be a whole number, not the string "30"'],
    ],
    [
      "a fraction where a whole number is due",
      podWith({ priority: 1.5 }),
      ["WrongType spec.priority: must be a whole number, not the number 1.5"],
    ],
    [
      "a number beyond 32 bits",
      podWith({ priority: 2 ** 31 }),
      ["Invalid spec.priority: must be between -2147483648 and 2147483647, not 2147483648"],
    ],
    [
      "text where a truth value is due",
      podWith({ hostNetwork: "yes" }),
      ['WrongType spec.hostNetwork: must be true or false, not the string "yes"'],
    ],
    ["an object where a list is due", podWith({ volumes: { name: "a" } }), ["WrongType spec.volumes: must be a list, not an object"]],
    ["a list where an object is due", podWith({ nodeSelector: ["a"] }), ["WrongType spec.nodeSelector: must be an object, not a list"]],
    ["null in a list", podWith({ tolerations: [null] }), ["WrongType spec.tolerations[0]: must be an object, not null"]],
    [
      "a value that is none of the allowed",
      podWith({ restartPolicy: "Alwys" }),
      ['NotSupported spec.restartPolicy: "Alwys" is not one of "Always", "OnFailure", "Never", did you mean "Always"?'],
    ],
    [
      "a bad quantity in a map",
      podWith({}, { resources: { limits: { memory: "64mb" } } }),
      ['Invalid spec.containers[0].resources.limits[memory]: must be a quantity such as "500m", "2" or "64Mi", not "64mb"'],
    ],
    ["a missing field", podWith({ volumes: [{ emptyDir: {} }] }), ["Required spec.volumes[0].name: is required"]],
    ["a required field that is null", podWith({}, { name: null }), ["Required spec.containers[0].name: is required"]],
    ["a required field that is empty", podWith({}, { name: "" }), ["Required spec.containers[0].name: must not be empty"]],
    ["a required list that is empty", podWith({ containers: [] }), ["Required spec.containers: must not be empty"]],
    [
      "two items of one name",
      podWith({ containers: [{ name: "a" }, { name: "b" }, { name: "a" }] }),
      ['Duplicate spec.containers[2].name: "a" is already at spec.containers[0]'],
    ],
    [
      "two mounts at one path",
      podWith(
        {},
        {
          volumeMounts: [
            { name: "a", mountPath: "/x" },
            { name: "b", mountPath: "/x" },
          ],
        },
      ),
      ['Duplicate spec.containers[0].volumeMounts[1].mountPath: "/x" is already at spec.containers[0].volumeMounts[0]'],
    ],
    ["an object that is none", "Pod", ['WrongType : must be an object, not the string "Pod"']],
  ];
  for (const [what, value, faults] of table) {
    assert.deepEqual(faultsOf(value), faults, what);
  }
});

test("the faults of all fields are reported together, and what is at fault is left out", () => {
  const { object, faults } = decodeObject(core("Pod"), podWith({ restartPolicy: "x", hostPID: 1, foo: {} }, { tty: "no", stdin: true }));
  assert.deepEqual(
    faults.map((fault: FieldFault) => [fault.type, fault.path, fault.value]),
    [
      ["UnknownField", "spec.foo", {}],
      ["WrongType", "spec.containers[0].tty", "no"],
      ["NotSupported", "spec.restartPolicy", "x"],
      ["WrongType", "spec.hostPID", 1],
    ],
  );
  assert.deepEqual((object as { spec: unknown }).spec, { containers: [{ name: "web", image: "web:1", stdin: true }] });
});

test("null and Go's zero values count as absent where they do in Kubernetes", () => {
  const decoded = (spec: object, container?: object) =>
    (decodeObject(core("Pod"), podWith(spec, container)).object as { spec: { containers: object[] } }).spec;
  assert.deepEqual(decoded({ restartPolicy: "", dnsPolicy: null, terminationGracePeriodSeconds: 0 }), {
    containers: [{ name: "web", image: "web:1" }],
    terminationGracePeriodSeconds: 0,
  });
  assert.deepEqual(decoded({}, { livenessProbe: { periodSeconds: 0, initialDelaySeconds: 0 } }).containers[0], {
    name: "web",
    image: "web:1",
    livenessProbe: { initialDelaySeconds: 0 },
  });
  const { object, faults } = decodeObject(core("ConfigMap"), { metadata: { name: "a", creationTimestamp: null }, data: { empty: null } });
  assert.deepEqual([object, faults], [{ metadata: { name: "a" }, data: { empty: "" } }, []]);
});

test("values are brought to the form in which they are stored", () => {
  const table: [kind: string, value: object, stored: object][] = [
    ["Pod", podWith({ overhead: { cpu: 0.5, memory: "1024Mi" } }), podWith({ overhead: { cpu: "500m", memory: "1Gi" } })],
    ["Lease", { spec: { renewTime: "2026-01-31T08:15:00+01:00" } }, { spec: { renewTime: "2026-01-31T07:15:00.000000Z" } }],
    ["Lease", { spec: { renewTime: "2026-01-31T08:15:00.1234567Z" } }, { spec: { renewTime: "2026-01-31T08:15:00.123456Z" } }],
    [
      "Node",
      { spec: { taints: [{ key: "a", effect: "NoExecute", timeAdded: "2024-02-29T23:59:59.9Z" }] } },
      { spec: { taints: [{ key: "a", effect: "NoExecute", timeAdded: "2024-02-29T23:59:59Z" }] } },
    ],
    ["Secret", { data: { a: "aGVs\nbG8=\n" } }, { data: { a: "aGVsbG8=" } }],
  ];
  for (const [kind, value, stored] of table) {
    const group = kind === "Lease" ? "coordination.k8s.io" : "";
    const schema = schemaOf({ group, version: "v1", kind });
    assert.ok(schema);
    const { object, faults } = decodeObject(schema, value);
    assert.deepEqual(faults, []);
    assert.deepEqual(object, stored);
  }
});

test("times and binary data that are none are refused", () => {
  const taint = (timeAdded: unknown) => faultsOf({ spec: { taints: [{ key: "a", effect: "NoExecute", timeAdded }] } }, "Node");
  for (const time of ["2026-01-31", "2026-01-31 08:15:00Z", "2026-02-30T00:00:00Z", "2026-01-31T25:00:00Z", "yesterday"]) {
    assert.deepEqual(taint(time), [`Invalid spec.taints[0].timeAdded: must be a time such as 2026-01-31T08:15:00Z, not "${time}"`]);
  }
  for (const data of ["hello", "aGVsbG8", "aGVs bG8=", "====", "_-=="]) {
    assert.deepEqual(faultsOf({ data: { a: data } }, "Secret"), [
      `Invalid data[a]: must be base64 (text goes into stringData), not ${JSON.stringify(data)}`,
    ]);
  }
});

test("the key __proto__ is refused wherever keys are free, and changes no object", () => {
  const { object, faults } = decodeObject(
    core("ConfigMap"),
    JSON.parse('{"data":{"__proto__":"x","constructor":"y"},"metadata":{"managedFields":[{"fieldsV1":{"__proto__":{"polluted":true}}}]}}'),
  );
  assert.deepEqual(
    faults.map((fault) => [fault.type, fault.path]),
    [
      ["Invalid", "metadata.managedFields[0].fieldsV1[__proto__]"],
      ["Invalid", "data[__proto__]"],
    ],
  );
  assert.deepEqual((object as { data: unknown }).data, { constructor: "y" });
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  assert.deepEqual(faultsOf(JSON.parse('{"__proto__":{"kind":"Pod"}}'), "ConfigMap"), ["UnknownField __proto__: unknown field"]);
});

test("nesting and numbers of values have bounds", () => {
  let deep: object = {};
  for (let level = 0; level < 100; level++) {
    deep = { f: deep };
  }
  const [fault] = decodeObject(core("ConfigMap"), { metadata: { managedFields: [{ fieldsV1: deep }] } }).faults;
  assert.equal(fault?.type, "Invalid");
  assert.match(fault?.message ?? "", /nested more than 64 levels deep/);

  const many = Object.fromEntries(Array.from({ length: 300_000 }, (_, index) => [`k${index}`, ""]));
  assert.match(decodeObject(core("ConfigMap"), { data: many }).faults.at(-1)?.message ?? "", /more than 250000 values/);

  const faulty = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`k${index}`, 1]));
  const { faults } = decodeObject(core("ConfigMap"), { data: faulty });
  assert.equal(faults.length, 101);
  assert.equal(faults.at(-1)?.message, "there are further faults");
});
