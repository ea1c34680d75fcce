import assert from "node:assert/strict";
import { test } from "node:test";
import { AttemptLimiter } from "./attempt-limiter.ts";

test("ten failures in a row, then one every six seconds", () => {
  let now = 0;
  const limiter = new AttemptLimiter(() => now);
  for (let i = 0; i < 10; i++) assert.equal(limiter.begin("a").waitMs, 0, `attempt ${i}`);
  assert.equal(limiter.begin("a").waitMs, 6000);
  assert.equal(limiter.begin("b").waitMs, 0, "others are not disturbed");
  now = 5999;
  assert.equal(limiter.begin("a").waitMs, 1);
  now = 6000;
  assert.equal(limiter.begin("a").waitMs, 0);
  assert.equal(limiter.begin("a").waitMs, 6000);
});

test("attempts under way count until they have succeeded", () => {
  const limiter = new AttemptLimiter(() => 0);
  const begun = Array.from({ length: 10 }, () => limiter.begin("a"));
  assert.equal(limiter.begin("a").waitMs, 6000);
  for (const attempt of begun) attempt.succeeded();
  for (let i = 0; i < 100; i++) limiter.begin("a").succeeded();
  assert.equal(limiter.begin("a").waitMs, 0);
});
