import { isDeepStrictEqual } from "node:util";
import type { Pod } from "@tessera/proto";
import { allVerbs, type ResourceDefinition } from "../../definition.ts";
import { plainStrategy } from "../../strategy.ts";
import { podColumns } from "./columns.ts";
import { defaultPodSpec, qosClass } from "./defaults.ts";
import { forbidEphemeralContainers, takeEphemeralContainers, validateEphemeralContainers } from "./ephemeral-containers.ts";
import { keepLabelKeys, mergeLabelKeys } from "./label-keys.ts";
import { unheededWishes } from "./not-yet.ts";
import { gatedConditions } from "./scheduling-gates.ts";
import { keepTokenMount } from "./token-mount.ts";
import { validatePodStatusUpdate, validatePodUpdate } from "./update.ts";
import { validatePod } from "./validate.ts";

const podKind = { group: "", version: "v1", kind: "Pod" };
const defaultGraceSeconds = 30;

export const podDefinition: ResourceDefinition<Pod> = {
  ...podKind,
  plural: "pods",
  singular: "pod",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  verbs: allVerbs,
  subresources: [
    { name: "attach", kind: { group: "", version: "v1", kind: "PodAttachOptions" }, verbs: ["create", "get"] },
    { name: "portforward", kind: { group: "", version: "v1", kind: "PodPortForwardOptions" }, verbs: ["create", "get"] },
    { name: "binding", kind: { group: "", version: "v1", kind: "Binding" }, verbs: ["create"] },
    { name: "ephemeralcontainers", kind: podKind, verbs: ["get", "patch", "update"] },
    { name: "eviction", kind: { group: "policy", version: "v1", kind: "Eviction" }, verbs: ["create"] },
    { name: "exec", kind: { group: "", version: "v1", kind: "PodExecOptions" }, verbs: ["create", "get"] },
    { name: "log", kind: podKind, verbs: ["get"] },
    { name: "scheduling", kind: { group: "tessera.dev", version: "v1", kind: "PodScheduling" }, verbs: ["get"] },
    { name: "status", kind: podKind, verbs: ["get", "patch", "update"] },
  ],
  selectableFields: {
    "spec.nodeName": (pod) => pod.spec?.nodeName ?? "",
    "spec.restartPolicy": (pod) => pod.spec?.restartPolicy ?? "",
    "spec.schedulerName": (pod) => pod.spec?.schedulerName ?? "",
    "spec.serviceAccountName": (pod) => pod.spec?.serviceAccountName ?? "",
    "spec.hostNetwork": (pod) => String(pod.spec?.hostNetwork ?? false),
    "status.phase": (pod) => pod.status?.phase ?? "",
    "status.podIP": (pod) => pod.status?.podIP ?? "",
    "status.podIPs": (pod) => pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? "",
    "status.nominatedNodeName": (pod) => pod.status?.nominatedNodeName ?? "",
  },
  returnsDeletedObject: true,
  columns: podColumns,
  strategy: plainStrategy<Pod>({
    // Where a pod runs is decided for it, not wished for.
    isNewGeneration: (next, current) => !isDeepStrictEqual({ ...next.spec, nodeName: "" }, { ...current.spec, nodeName: "" }),
    prepareForCreate(pod) {
      pod.spec ??= {};
      defaultPodSpec(pod.spec);
      mergeLabelKeys(pod);
      pod.status = { phase: "Pending", ...gatedConditions(pod) };
    },
    validate(pod) {
      const faults = [...validatePod(pod), ...forbidEphemeralContainers(pod)];
      // Quantities must be right before anything can be computed from them.
      if (faults.length === 0) pod.status = { ...pod.status, qosClass: qosClass(pod) };
      return faults;
    },
    warnings: unheededWishes,
    prepareForUpdate(next, current) {
      next.spec ??= {};
      next.spec.nodeName ??= current.spec?.nodeName;
      next.spec.serviceAccountName ||= current.spec?.serviceAccountName;
      if (current.spec?.imagePullSecrets !== undefined) next.spec.imagePullSecrets ??= current.spec.imagePullSecrets;
      keepTokenMount(next.spec, current.spec ?? {});
      keepLabelKeys(next.spec, current.spec ?? {});
      defaultPodSpec(next.spec);
      next.status = current.status;
    },
    validateUpdate: validatePodUpdate,
    parts: {
      ephemeralcontainers: {
        prepare: takeEphemeralContainers,
        validate: validateEphemeralContainers,
      },
      status: {
        prepare(next, current) {
          next.spec = current.spec;
        },
        validate: validatePodStatusUpdate,
      },
    },
    gracefulDeletion(pod, requestedSeconds) {
      const phase = pod.status?.phase;
      if (!pod.spec?.nodeName || phase === "Succeeded" || phase === "Failed") return 0;
      return Math.max(0, requestedSeconds ?? pod.spec.terminationGracePeriodSeconds ?? defaultGraceSeconds);
    },
  }),
};
