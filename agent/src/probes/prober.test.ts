import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container } from "@tessera/proto";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import type { ProbeResult } from "./probe-result.ts";
import { type ProbedContainer, Prober } from "./prober.ts";
import { type ProbeSettings, type ProbeVerdict, verdictAtStart } from "./schedule.ts";

const EXEC = { exec: { command: ["true"] }, periodSeconds: 1, failureThreshold: 1 };
const OK: ProbeResult = { outcome: "success", message: "" };
const BAD: ProbeResult = { outcome: "failure", message: "no" };

/** A prober whose probes answer as the test says, and that writes down what it does. */
class Bench {
  readonly clock = new FakeClock(0);
  /** "12 main liveness" for each probe: when, of which container, which one. */
  readonly probes: string[] = [];
  readonly verdicts: (ProbeVerdict & { container: string })[] = [];
  readonly failures: string[] = [];
  answer: (container: string, settings: ProbeSettings, signal: AbortSignal) => ProbeResult | Promise<ProbeResult> = () => OK;
  readonly prober = new Prober({
    clock: this.clock,
    probe: async (container, settings, signal) => {
      this.probes.push(`${this.clock.now() / 1000} ${container} ${settings.kind}`);
      return await this.answer(container, settings, signal);
    },
    onVerdict: (container, _attempt, verdict) => this.verdicts.push({ container, ...verdict }),
    onFailure: (container, kind, { message }) => this.failures.push(`${container} ${kind} ${message}`),
  });

  /** Time passes in steps of a second, and between them what was begun ends. */
  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      this.clock.advance(second === 0 ? 0 : 1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

function running(name: string, spec: Container, more: Partial<ProbedContainer> = {}): ProbedContainer {
  return { name, attempt: 0, startedAtMs: 0, spec, verdict: verdictAtStart(spec), isStopping: false, ...more };
}

describe("a prober", () => {
  it("probes each container at its times, and those without probes never", async () => {
    const bench = new Bench();
    const slow = running("slow", { livenessProbe: { ...EXEC, initialDelaySeconds: 1, periodSeconds: 2 } });
    bench.prober.follow([running("none", {}), running("fast", { readinessProbe: EXEC }), slow]);
    await bench.pass(4);
    assert.deepEqual(bench.probes, [
      "0 fast readiness",
      "1 slow liveness",
      "1 fast readiness",
      "2 fast readiness",
      "3 slow liveness",
      "3 fast readiness",
    ]);
  });

  it("tells a verdict when it changes and not otherwise", async () => {
    const bench = new Bench();
    bench.prober.follow([running("main", { readinessProbe: EXEC })]);
    await bench.pass(3);
    bench.answer = () => BAD;
    await bench.pass(3);
    assert.deepEqual(
      bench.verdicts.map(({ container, ready }) => [container, ready]),
      [
        ["main", true],
        ["main", false],
      ],
    );
    assert.deepEqual(bench.failures, ["main readiness no"]);
  });

  it("begins the other probes when the startup probe has succeeded, and ends that one", async () => {
    const bench = new Bench();
    let isUp = false;
    bench.answer = () => (isUp ? OK : BAD);
    const startupProbe = { ...EXEC, failureThreshold: 100 };
    bench.prober.follow([running("main", { startupProbe, livenessProbe: EXEC })]);
    await bench.pass(3);
    isUp = true;
    await bench.pass(5);
    assert.deepEqual(bench.probes, [
      "0 main startup",
      "1 main startup",
      "2 main startup",
      "3 main startup",
      "3 main liveness",
      "4 main liveness",
      "5 main liveness",
    ]);
    assert.deepEqual(bench.verdicts, [{ container: "main", started: true, ready: true, failed: undefined }]);
  });

  it("asks no more after it has found that a container is to be ended, until the next attempt", async () => {
    const bench = new Bench();
    bench.answer = () => BAD;
    const spec = { livenessProbe: EXEC };
    bench.prober.follow([running("main", spec)]);
    await bench.pass(3);
    assert.deepEqual(bench.probes, ["0 main liveness"]);
    assert.equal(bench.verdicts[0]?.failed?.kind, "liveness");
    bench.prober.follow([running("main", spec, { attempt: 1, startedAtMs: 2000 })]);
    await bench.pass(1);
    assert.deepEqual(bench.probes, ["0 main liveness", "2 main liveness"]);
  });

  it("asks a container that is being stopped only whether it is ready", async () => {
    const bench = new Bench();
    const spec = { livenessProbe: EXEC, readinessProbe: EXEC };
    bench.prober.follow([running("main", spec)]);
    await bench.pass(1);
    bench.prober.follow([running("main", spec, { isStopping: true })]);
    bench.probes.length = 0;
    await bench.pass(2);
    assert.deepEqual(bench.probes, ["1 main readiness"]);
  });

  it("does not begin a probe while the one before is under way", async () => {
    const bench = new Bench();
    const late = Promise.withResolvers<ProbeResult>();
    bench.answer = () => late.promise;
    bench.prober.follow([running("main", { readinessProbe: EXEC })]);
    await bench.pass(4);
    assert.deepEqual(bench.probes, ["0 main readiness"]);
    late.resolve(OK);
    await bench.pass(1);
    await bench.pass(1);
    assert.deepEqual(bench.probes, ["0 main readiness", "3 main readiness"]);
  });

  it("ends what is under way with the container, and does not listen to it any more", async () => {
    const bench = new Bench();
    const late = Promise.withResolvers<ProbeResult>();
    let signal: AbortSignal | undefined;
    bench.answer = (_container, _settings, itsSignal) => {
      signal = itsSignal;
      return late.promise;
    };
    bench.prober.follow([running("main", { livenessProbe: EXEC })]);
    await bench.pass(1);
    bench.prober.follow([]);
    assert.equal(signal?.aborted, true);
    late.resolve(BAD);
    await bench.pass(3);
    assert.deepEqual([bench.probes.length, bench.verdicts, bench.failures], [1, [], []]);
  });

  it("probes nothing more once it is stopped", async () => {
    const bench = new Bench();
    bench.prober.follow([running("main", { livenessProbe: EXEC })]);
    await bench.pass(1);
    bench.prober.stop();
    await bench.pass(3);
    assert.deepEqual(bench.probes, ["0 main liveness"]);
  });

  it("has one timer per probe, however often it is told of the same containers", async () => {
    const bench = new Bench();
    const containers = Array.from({ length: 100 }, (_, place) => running(`c${place}`, { livenessProbe: EXEC }));
    for (let times = 0; times < 10; times++) bench.prober.follow(containers);
    await bench.pass(2);
    assert.equal(bench.probes.length, 200);
  });
});
