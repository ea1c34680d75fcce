import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { TesseraError } from "@tessera/proto";
import { pino } from "pino";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import { CredentialsFolder } from "./node-credentials.ts";
import { CertificateRenewal } from "./renewal.ts";
import { newKey, signingRequest } from "./signing-request.ts";
import { TestCa } from "./testing/test-ca.ts";

const hourMs = 3_600_000;

async function prepare(t: TestContext) {
  const path = await mkdtemp(join(tmpdir(), "tessera-renewal-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  const ca = await TestCa.create();
  const folder = new CredentialsFolder(path);
  const cert = await ca.sign(await signingRequest("node-1", await folder.stagedKey(newKey)), "node-1");
  await folder.join({ ca: ca.pem, cert, controlPlane: "10.0.0.1:6444" });
  const current = await folder.read();
  assert.ok(current !== undefined);
  // Valid for two hours, one of which is over.
  const clock = new FakeClock(Date.parse(new X509Certificate(cert).validFrom) + hourMs);
  const renewal = new CertificateRenewal({ folder, current, clock, random: () => 0, log: pino({ level: "silent" }) });
  const asked: string[] = [];
  const tick = { reconnected: 0, answer: async (csr: string) => await ca.sign(csr, "node-1", new Date(clock.now() + 3 * hourMs)) };
  const heard = new EventTarget();
  const certifier = {
    async renewCertificate(csr: string): Promise<string> {
      asked.push(csr);
      try {
        return await tick.answer(csr);
      } finally {
        queueMicrotask(() => heard.dispatchEvent(new Event("asked")));
      }
    },
    reconnect() {
      tick.reconnected += 1;
      heard.dispatchEvent(new Event("reconnected"));
    },
  };
  const stop = new AbortController();
  const running = renewal.run(certifier, stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  const next = (what: "asked" | "reconnected") =>
    new Promise<void>((resolve) => heard.addEventListener(what, () => resolve(), { once: true }));
  return { ca, folder, clock, renewal, asked, tick, next, first: current };
}

test("after two thirds of its time a certificate gets a successor, with a key of its own", async (t) => {
  const { clock, renewal, folder, asked, next, first } = await prepare(t);
  const before = renewal.channelCredentials;
  clock.advance(hourMs / 3 - 1000);
  assert.equal(asked.length, 0);
  const reconnected = next("reconnected");
  clock.advance(1000);
  await reconnected;
  const second = await folder.read();
  assert.notEqual(second?.key, first.key);
  assert.notEqual(second?.cert, first.cert);
  assert.notEqual(renewal.channelCredentials, before);
  assert.equal(asked.length, 1);
});

test("what goes wrong is tried again, with the key that was made for it", async (t) => {
  const { clock, ca, folder, asked, tick, next, first } = await prepare(t);
  const right = tick.answer;
  const answers: (() => Promise<string>)[] = [
    () => Promise.reject(new TesseraError("ServiceUnavailable", "no session")),
    async () => await ca.sign(asked.at(-1) ?? "", "node-2"),
    async () => await (await TestCa.create()).sign(asked.at(-1) ?? "", "node-1"),
  ];
  for (const answer of answers) {
    tick.answer = answer;
    const done = next("asked");
    clock.advance(hourMs / 3);
    await done;
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(await folder.read(), first);
  }
  tick.answer = right;
  const reconnected = next("reconnected");
  clock.advance(hourMs);
  await reconnected;
  assert.equal(tick.reconnected, 1);
  const keys = await Promise.all(
    asked.map(async (csr) => new X509Certificate(await ca.sign(csr, "x")).publicKey.export({ type: "spki", format: "pem" })),
  );
  assert.equal(new Set(keys).size, 1);
});
