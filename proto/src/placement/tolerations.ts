import type { Taint, Toleration } from "../../gen/api.ts";

/** Kubernetes' rule: an empty effect or key is a wildcard, operator Exists ignores the value. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === "Exists") return true;
  // Without a key only Exists is valid; it would tolerate everything.
  return Boolean(toleration.key) && (toleration.value ?? "") === (taint.value ?? "");
}

export function toleratesAny(tolerations: readonly Toleration[], taint: Taint): boolean {
  return tolerations.some((toleration) => tolerates(toleration, taint));
}
