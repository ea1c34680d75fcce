import assert from "node:assert/strict";
import { test } from "node:test";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { schemaOf } from "./catalog.ts";
import { decodeObject } from "./decode.ts";
import { decodeProtobuf } from "./protobuf.ts";

/** A message by the numbers of its fields; a list is a field that occurs several times. */
type Value = string | number | bigint | Uint8Array | Message;
type Message = { readonly [number: number]: Value | readonly Value[] };

function encode(message: Message): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, values] of Object.entries(message)) {
    for (const value of Array.isArray(values) ? (values as Value[]) : [values as Value]) {
      if (typeof value === "number" || typeof value === "bigint") {
        writer.uint32(Number(number) << 3).int64(value);
      } else {
        const bytes = typeof value === "string" ? Buffer.from(value) : value instanceof Uint8Array ? value : encode(value);
        writer.uint32((Number(number) << 3) | 2).bytes(bytes);
      }
    }
  }
  return writer.finish();
}

function body(apiVersion: string, kind: string, message: Message): Uint8Array {
  return Buffer.concat([Buffer.from("k8s\0"), encode({ 1: { 1: apiVersion, 2: kind }, 2: message, 3: "", 4: "" })]);
}

test("every sort of value is read", () => {
  const container: Message = {
    1: "web",
    2: "web:1",
    3: ["sh", "-c"],
    6: { 1: "", 2: 0, 3: 80, 4: "TCP", 5: "" },
    8: { 1: { 1: "cpu", 2: { 1: "500m" } } },
    10: { 1: { 2: { 1: "/", 2: { 1: 1, 2: 0, 3: "http" } } }, 3: 1 },
    16: 0,
  };
  const pod: Message = {
    1: { 1: "web", 2: "", 8: { 1: 1_769_847_300, 2: 0 }, 11: { 1: "app", 2: "web" } },
    2: {
      1: { 1: "settings", 2: { 19: { 1: { 1: "cm" }, 3: 420 } } },
      2: container,
      3: "Always",
      4: 0,
      // Lists of numbers come one by one and packed.
      14: { 2: -1n, 4: [7, new Uint8Array([5, 0x86, 1])], 12: "Strict" },
      25: 100,
    },
  };
  const value = decodeProtobuf(body("v1", "Pod", pod));
  assert.deepEqual(value, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", creationTimestamp: "2026-01-31T08:15:00Z", labels: { app: "web" } },
    spec: {
      volumes: [{ name: "settings", configMap: { name: "cm", defaultMode: 420 } }],
      containers: [
        {
          name: "web",
          image: "web:1",
          command: ["sh", "-c"],
          ports: [{ hostPort: 0, containerPort: 80, protocol: "TCP" }],
          resources: { limits: { cpu: "500m" } },
          livenessProbe: { httpGet: { path: "/", port: "http" }, timeoutSeconds: 1 },
          stdin: false,
        },
      ],
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 0,
      securityContext: { runAsUser: -1, supplementalGroups: [7, 5, 134], supplementalGroupsPolicy: "Strict" },
      priority: 100,
    },
  });
  const schema = schemaOf({ group: "", version: "v1", kind: "Pod" });
  assert.ok(schema);
  assert.deepEqual(decodeObject(schema, value).faults, []);
});

test("what is not of the form is a bad request, never a crash", () => {
  const good = body("v1", "ConfigMap", { 1: { 1: "a" }, 2: { 1: "k", 2: "v" } });
  assert.deepEqual(decodeProtobuf(good), { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" }, data: { k: "v" } });
  const table: [what: string, bytes: Uint8Array][] = [
    ["nothing", new Uint8Array()],
    ["JSON", Buffer.from('{"kind":"Pod"}')],
    ["a number for a message", body("v1", "ConfigMap", { 1: 5 })],
    ["text that is no UTF-8", body("v1", "ConfigMap", { 1: { 1: new Uint8Array([0xff, 0xfe]) } })],
    ["a time beyond all calendars", body("v1", "ConfigMap", { 1: { 8: { 1: 2n ** 60n } } })],
  ];
  for (const [what, bytes] of table) {
    assert.throws(() => decodeProtobuf(bytes), { name: "TesseraError", reason: "BadRequest" }, what);
  }
  for (let length = 0; length < good.length; length++) {
    try {
      decodeProtobuf(good.subarray(0, length));
    } catch (error) {
      assert.equal((error as Error).name, "TesseraError", `cut after ${length} bytes`);
    }
  }
});

test("a kind without a schema is refused as a media type", () => {
  assert.throws(() => decodeProtobuf(body("example.com/v1", "Thing", {})), {
    reason: "UnsupportedMediaType",
    message: /Thing of example.com\/v1/,
  });
});

test("options of deletion are the same in every group", () => {
  assert.deepEqual(decodeProtobuf(body("policy/v1", "DeleteOptions", { 1: 5, 4: "Background" })), {
    apiVersion: "policy/v1",
    kind: "DeleteOptions",
    gracePeriodSeconds: 5,
    propagationPolicy: "Background",
  });
});
