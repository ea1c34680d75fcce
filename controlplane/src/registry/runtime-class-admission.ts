import { type Pod, TesseraError } from "@tessera/proto";

/**
 * Refuses pods that name a runtime: there are no RuntimeClasses, and Kubernetes refuses pods that name one which it does not have. A pod that asks for a
 * sandbox of another kind must not run without it. Throws TesseraError "Forbidden".
 */
export function admitRuntimeClass({ metadata, spec }: Pod): void {
  const name = spec?.runtimeClassName;
  if (!name) return;
  const podName = metadata?.name ?? "";
  throw new TesseraError(
    "Forbidden",
    `pods ${JSON.stringify(podName)} is forbidden: pod rejected: RuntimeClass ${JSON.stringify(name)} not found: there is one runtime, used for all pods; leave spec.runtimeClassName out`,
    { details: { name: podName, kind: "pods" } },
  );
}
