import type { Pod } from "@tessera/proto";
import { type Fault, required } from "../faults.ts";

export function validatePod(pod: Pod): Fault[] {
  const faults: Fault[] = [];
  if ((pod.spec?.containers ?? []).length === 0) faults.push(required("spec.containers"));
  for (const [index, container] of (pod.spec?.containers ?? []).entries()) {
    if (!container.name) faults.push(required(`spec.containers[${index}].name`));
    if (!container.image) faults.push(required(`spec.containers[${index}].image`));
  }
  return faults;
}
