import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import { TokenRenewal } from "./token-renewal.ts";

const key = { kind: "ServiceAccountToken", namespace: "default", name: "uid-a/3600/" } as const;
const token = (accountUid = "u") => ({ token: "t", lifetimeSeconds: 3600, accountUid });

function prepare() {
  const clock = new FakeClock();
  const asked: string[] = [];
  const renewal = new TokenRenewal({ clock, random: () => 0, request: ({ name }) => asked.push(name) });
  return { clock, asked, renewal };
}

test("another token is asked for after four fifths of its time, again each minute, until one comes", () => {
  const { clock, asked, renewal } = prepare();
  assert.equal(renewal.received(key, token()), true);
  clock.advance(2_880_000 - 1);
  assert.equal(asked.length, 0);
  clock.advance(1);
  assert.deepEqual(asked, [key.name]);
  clock.advance(60_000);
  assert.equal(asked.length, 2);
  assert.equal(renewal.received(key, token()), true);
  clock.advance(2_880_000 - 1);
  assert.equal(asked.length, 2);
});

test("a token that is good for long yet is kept, unless the account is another one", () => {
  const { renewal, clock } = prepare();
  renewal.received(key, token());
  clock.advance(1_000_000);
  assert.equal(renewal.received(key, token()), false);
  assert.equal(renewal.received(key, token("another")), true);
  assert.equal(renewal.received(key, undefined), true);
  assert.equal(renewal.received(key, token("another")), true);
});

test("nobody asks for a token of a pod that is gone", () => {
  const { renewal, clock, asked } = prepare();
  renewal.received(key, token());
  renewal.received({ ...key, name: "uid-b/3600/" }, token());
  renewal.forget(key);
  clock.advance(2_900_000);
  assert.deepEqual(asked, ["uid-b/3600/"]);
  renewal.stop();
  clock.advance(3_000_000);
  assert.equal(asked.length, 1);
});
