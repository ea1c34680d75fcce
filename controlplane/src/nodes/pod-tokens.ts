import { type CarriedServiceAccountToken, parseServiceAccountTokenName, type ServiceAccount } from "@tessera/proto";
import type { ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import type { ResourceCache } from "../store/cache.ts";
import type { PodIndex } from "./pod-index.ts";

export interface PodTokensDependencies {
  readonly pods: Pick<PodIndex, "get">;
  readonly serviceAccounts: ResourceCache<ServiceAccount>;
  readonly tokens: Pick<ServiceAccountTokens, "issue">;
}

/** Makes the tokens that pods mount, at the moment when they are sent: it takes less time than a look at etcd. */
export class PodTokens {
  readonly #deps: PodTokensDependencies;

  constructor(deps: PodTokensDependencies) {
    this.#deps = deps;
  }

  /** The token of that name for a pod that is bound to the node; undefined for any other, and while there is no such service account. */
  make(nodeName: string, name: string): Buffer | undefined {
    const { pods, serviceAccounts, tokens } = this.#deps;
    const wanted = parseServiceAccountTokenName(name);
    const pod = wanted && pods.get(nodeName, wanted.podUid)?.object;
    const account = pod && serviceAccounts.get(pod.namespace, pod.value.spec?.serviceAccountName ?? "");
    if (wanted === undefined || pod === undefined || account === undefined) return undefined;
    const { token } = tokens.issue(account.value, {
      audiences: wanted.audience === "" ? [] : [wanted.audience],
      expirationSeconds: wanted.expirationSeconds,
      bound: { kind: "Pod", name: pod.name, uid: pod.uid },
      nodeName,
    });
    const carried: CarriedServiceAccountToken = { token, lifetimeSeconds: wanted.expirationSeconds, accountUid: account.uid };
    return Buffer.from(JSON.stringify(carried));
  }
}
