import { type Binding, type Pod, TesseraError } from "@tessera/proto";
import { invalidObject, notSupported, required } from "../registry/faults.ts";
import { formatTime } from "../registry/object-meta.ts";
import type { ApiDependencies, Call } from "./call.ts";
import { checkNamespace, parseDryRun } from "./create.ts";
import { type Decoded, decodeBody } from "./decode.ts";
import type { VirtualResource } from "./discovery.ts";
import { type ApiResponse, jsonResponse, withWarnings } from "./http.ts";

const bindingKind = { group: "", version: "v1", kind: "Binding" };

interface BindingDependencies {
  readonly registry: Pick<ApiDependencies["registry"], "pods">;
  readonly now: () => number;
}

/** POST pods/binding: gives a pod its node, once and for all. */
export async function bindPod({ path, request, dependencies }: Call): Promise<ApiResponse> {
  const body = await decodeBody<Binding>(request, bindingKind);
  checkName(body.object.metadata?.name, path.name);
  return await bind(path, body, parseDryRun(request.query), dependencies);
}

/** POST bindings: the same, with the pod's name in the body. */
export function bindingResource(dependencies: BindingDependencies): VirtualResource {
  const resource = { ...bindingKind, plural: "bindings", singular: "binding", namespaced: true, verbs: ["create"] };
  return {
    ...resource,
    async create({ request, namespace }) {
      const body = await decodeBody<Binding>(request, bindingKind);
      checkNamespace(body.object, namespace, true);
      const name = body.object.metadata?.name ?? "";
      if (name === "") throw invalidObject("Binding", "", "", [required("metadata.name", "name must be provided")]);
      return await bind({ namespace, name }, body, parseDryRun(request.query), dependencies);
    },
  };
}

async function bind(
  { namespace, name }: { readonly namespace: string; readonly name: string },
  { object: binding, faults, warnings }: Decoded<Binding>,
  dryRun: boolean,
  { registry, now }: BindingDependencies,
): Promise<ApiResponse> {
  const { kind = "Node", name: nodeName = "" } = binding.target ?? {};
  const all = [...faults];
  if (nodeName === "") all.push(required("target.name"));
  if (kind !== "Node" && kind !== "") all.push(notSupported("target.kind", kind, ["Node", "<empty>"]));
  if (all.length > 0) throw invalidObject("Binding", "", name, all);
  const change = (pod: Pod) => withNode(pod, nodeName, binding, now());
  if (dryRun) change((await registry.pods.read(namespace, name)).value);
  else await registry.pods.mutate(namespace, name, change, binding.metadata?.uid ? { uid: binding.metadata.uid } : {});
  return withWarnings(created(), warnings);
}

/** The pod on its node. Throws TesseraError "Conflict" for one that cannot be bound any more, or not yet. */
function withNode(pod: Pod, nodeName: string, binding: Binding, nowMs: number): Pod {
  const name = pod.metadata?.name ?? "";
  const conflict = (why: string) =>
    new TesseraError("Conflict", `Operation cannot be fulfilled on pods/binding ${JSON.stringify(name)}: pod ${name} ${why}`, {
      details: { name, kind: "pods/binding" },
    });
  if (pod.metadata?.deletionTimestamp !== undefined) throw conflict("is being deleted, cannot be assigned to a host");
  if (pod.spec?.nodeName) throw conflict(`is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`);
  if ((pod.spec?.schedulingGates ?? []).length > 0) throw conflict("has non-empty .spec.schedulingGates");
  const scheduled = { type: "PodScheduled", status: "True", lastProbeTime: undefined, lastTransitionTime: formatTime(nowMs) };
  const others = (pod.status?.conditions ?? []).filter((condition) => condition.type !== "PodScheduled");
  const annotations = { ...pod.metadata?.annotations, ...binding.metadata?.annotations };
  return {
    ...pod,
    metadata: { ...pod.metadata, ...(Object.keys(annotations).length > 0 ? { annotations } : {}) },
    spec: { ...pod.spec, nodeName },
    status: { ...pod.status, conditions: [...others, scheduled] },
  };
}

export function checkName(sent: string | undefined, name: string): void {
  if (!sent || sent === name) return;
  throw new TesseraError("BadRequest", `the name of the object (${sent}) does not match the name on the URL (${name})`);
}

export function created(): ApiResponse {
  return jsonResponse({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 }, 201);
}
