import { test } from "node:test";
import { tokenSecret } from "../join/testing/tokens.ts";
import { expiredTokens } from "./expired-tokens.ts";
import { eventually } from "./testing/fakes.ts";
import { prepareLoop } from "./testing/run-loop.ts";

test("tokens go when they have expired, and nothing else does", async (t) => {
  const { registry, clock, start } = prepareLoop(t, expiredTokens);
  const create = (id: string, more: Readonly<Record<string, string>>) =>
    registry.secrets.create(tokenSecret(`${id}.0123456789abcdef`, more));
  await create("forevr", {});
  await create("notime", { expiration: "soon" });
  await create("longer", { expiration: "2030-01-01T02:00:00Z" });
  await create("second", { expiration: "2030-01-01T00:00:01Z" });
  await registry.secrets.create({ ...tokenSecret("opaque.0123456789abcdef", { expiration: "2030-01-01T00:00:01Z" }), type: "Opaque" });
  start();
  const names = () => [...registry.secrets.cache.list()].map(({ name }) => name.slice("bootstrap-token-".length)).sort();
  await eventually("both wait", () => clock.pending.join() === "1000,7200000");
  clock.advance(1000);
  await eventually("one is gone", () => names().join() === "forevr,longer,notime,opaque");
  clock.advance(7_199_000);
  await eventually("the other too", () => names().join() === "forevr,notime,opaque");
});
