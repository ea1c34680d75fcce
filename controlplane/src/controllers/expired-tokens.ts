import { bootstrapTokenNamespace, isInTime, readBootstrapToken } from "../join/bootstrap-token.ts";
import { cacheLoop, changesOf } from "./cache-loop.ts";
import type { ControlLoop } from "./control-loop.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { unless } from "./expected-errors.ts";

/** Removes the Secrets of join tokens that have expired. */
export function expiredTokens({ registry, clock, log }: ControllerDependencies): ControlLoop {
  const { secrets } = registry;
  return cacheLoop({
    name: "expired-tokens",
    clock,
    log,
    sources: [
      changesOf(secrets.cache, ({ namespace, name }, type) =>
        namespace === bootstrapTokenNamespace && type !== "DELETED" && name.startsWith("bootstrap-token-") ? [name] : [],
      ),
    ],
    async reconcile(name) {
      const secret = secrets.cache.get(bootstrapTokenNamespace, name);
      const token = secret && readBootstrapToken(secret.value);
      if (!secret || token?.expiresAtMs === undefined || Number.isNaN(token.expiresAtMs)) return undefined;
      if (isInTime(token, clock.now())) return token.expiresAtMs - clock.now();
      await unless(["NotFound"], secrets.remove(bootstrapTokenNamespace, name, { uid: secret.uid }));
      return undefined;
    },
  });
}
