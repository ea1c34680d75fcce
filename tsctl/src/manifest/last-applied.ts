import type { ApiObject } from "../api/api.ts";

/** Where kubectl keeps what was applied last: with the same annotation, both can be used on one object. */
export const lastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration";

/** The object with the annotation that remembers it, as kubectl writes it: JSON with sorted keys and without the annotation itself. */
export function withLastApplied(manifest: ApiObject, namespace: string | undefined): ApiObject {
  const { [lastAppliedAnnotation]: _, ...annotations } = manifest.metadata?.annotations ?? {};
  const metadata = { ...manifest.metadata, ...(namespace === undefined ? {} : { namespace }), annotations };
  const plain = { ...manifest, metadata };
  return {
    ...plain,
    metadata: { ...metadata, annotations: { ...annotations, [lastAppliedAnnotation]: `${JSON.stringify(sortKeys(plain))}\n` } },
  };
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(entries.map(([key, each]) => [key, sortKeys(each)]));
}

/** Nothing, when it was never applied or the annotation is broken: then nothing is removed either. */
export function readLastApplied(current: ApiObject): Record<string, unknown> {
  try {
    const value = JSON.parse(current.metadata?.annotations?.[lastAppliedAnnotation] ?? "{}");
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}
