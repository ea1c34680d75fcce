import type { Pod } from "@tessera/proto";
import { envReferences } from "../process/env.ts";
import { volumeReferences } from "../volumes/content.ts";
import type { ObjectKey } from "./referenced-objects.ts";

/** The ConfigMaps and Secrets that a pod names, for its variables, its volumes and its images, and the tokens that it mounts. */
export function podReferences(pod: Pod): ObjectKey[] {
  const namespace = pod.metadata?.namespace ?? "";
  const pullSecrets = (pod.spec?.imagePullSecrets ?? []).flatMap(({ name }): ObjectKey[] =>
    name ? [{ kind: "Secret", namespace, name }] : [],
  );
  return [...envReferences(pod), ...(pod.spec?.volumes ?? []).flatMap((volume) => volumeReferences(volume, pod)), ...pullSecrets];
}

/** Of these the tokens, which are of this pod alone. */
export function podTokens(pod: Pod): ObjectKey[] {
  return podReferences(pod).filter(({ kind }) => kind === "ServiceAccountToken");
}
