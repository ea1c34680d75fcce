import { decodeObject, type NodeStatus, type ObjectSchema, type PodStatus, schemaOf, TesseraError } from "@tessera/proto";

/** A status that an agent sent, and what was wrong with it: faulty fields are left out. */
export interface Reported<T> {
  readonly status: T;
  readonly faults: readonly string[];
}

const podStatusSchema = statusSchema("Pod");
const nodeStatusSchema = statusSchema("Node");

/** Throws TesseraError "Invalid" when it is no JSON object at all. */
export function decodePodStatus(bytes: Uint8Array): Reported<PodStatus> {
  const { object, faults } = decode(podStatusSchema, bytes);
  // decodeObject returns what the schema describes, and the schema is made from the same source as the type.
  return { status: object as PodStatus, faults };
}

/** Throws TesseraError "Invalid" when it is no JSON object at all. */
export function decodeNodeStatus(bytes: Uint8Array): Reported<NodeStatus> {
  const { object, faults } = decode(nodeStatusSchema, bytes);
  return { status: object as NodeStatus, faults };
}

function decode(schema: ObjectSchema, bytes: Uint8Array): { object: unknown; faults: string[] } {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (error) {
    throw new TesseraError("Invalid", "the status that the agent sent is not JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TesseraError("Invalid", "the status that the agent sent is not a JSON object");
  }
  const { object, faults } = decodeObject(schema, value);
  return { object, faults: faults.map((fault) => `${fault.path}: ${fault.message}`) };
}

function statusSchema(kind: string): ObjectSchema {
  const status = schemaOf({ group: "", version: "v1", kind })?.object.fields.get("status")?.value;
  if (status?.type !== "object") throw new Error(`there is no schema of the status of ${kind}`);
  return status.object;
}
