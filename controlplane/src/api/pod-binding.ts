import { type Binding, type Eviction, type Pod, TesseraError } from "@tessera/proto";
import { invalidObject, notSupported, required } from "../registry/faults.ts";
import { formatTime } from "../registry/object-meta.ts";
import type { Call } from "./call.ts";
import { parseDryRun, writable } from "./create.ts";
import { decodeBody } from "./decode.ts";
import { toDeleteRequest } from "./delete.ts";
import { type ApiResponse, jsonResponse, withWarnings } from "./http.ts";

const bindingKind = { group: "", version: "v1", kind: "Binding" };
const evictionKind = { group: "policy", version: "v1", kind: "Eviction" };

/** POST pods/binding: gives a pod its node, once and for all. */
export async function bindPod(call: Call): Promise<ApiResponse> {
  const { path, request, dependencies } = call;
  const { object: binding, faults, warnings } = await decodeBody<Binding>(request, bindingKind);
  const { kind = "Node", name: nodeName = "" } = binding.target ?? {};
  const all = [...faults];
  if (nodeName === "") all.push(required("target.name"));
  if (kind !== "Node" && kind !== "") all.push(notSupported("target.kind", kind, ["Node", "<empty>"]));
  if (all.length > 0) throw invalidObject("Binding", "", path.name, all);
  checkName(binding.metadata?.name, path.name);
  const conflict = (why: string) =>
    new TesseraError("Conflict", `Operation cannot be fulfilled on pods/binding ${JSON.stringify(path.name)}: ${why}`, {
      details: { name: path.name, kind: "pods/binding" },
    });
  const bind = (pod: Pod): Pod => {
    if (pod.metadata?.deletionTimestamp !== undefined) throw conflict(`pod ${path.name} is being deleted, cannot be assigned to a host`);
    if (pod.spec?.nodeName) throw conflict(`pod ${path.name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`);
    const scheduled = {
      type: "PodScheduled",
      status: "True",
      lastProbeTime: undefined,
      lastTransitionTime: formatTime(dependencies.now()),
    };
    const others = (pod.status?.conditions ?? []).filter((condition) => condition.type !== "PodScheduled");
    const annotations = { ...pod.metadata?.annotations, ...binding.metadata?.annotations };
    return {
      ...pod,
      metadata: { ...pod.metadata, ...(Object.keys(annotations).length > 0 ? { annotations } : {}) },
      spec: { ...pod.spec, nodeName },
      status: { ...pod.status, conditions: [...others, scheduled] },
    };
  };
  const { pods } = dependencies.registry;
  if (parseDryRun(request.query)) bind((await pods.read(path.namespace, path.name)).value);
  else await pods.mutate(path.namespace, path.name, bind, binding.metadata?.uid ? { uid: binding.metadata.uid } : {});
  return withWarnings(created(), warnings);
}

/** POST pods/eviction: a deletion that somebody may have a say in; so far nobody has. */
export async function evictPod(call: Call): Promise<ApiResponse> {
  const { path, request } = call;
  const { object: eviction, faults, warnings } = await decodeBody<Eviction>(request, evictionKind);
  if (faults.length > 0) throw invalidObject("Eviction", "policy", path.name, faults);
  checkName(eviction.metadata?.name, path.name);
  await writable(call).deleteObject(path.namespace, path.name, toDeleteRequest(eviction.deleteOptions ?? {}, request.query));
  return withWarnings(created(), warnings);
}

function checkName(sent: string | undefined, name: string): void {
  if (!sent || sent === name) return;
  throw new TesseraError("BadRequest", `the name of the object (${sent}) does not match the name on the URL (${name})`);
}

function created(): ApiResponse {
  return jsonResponse({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 }, 201);
}
