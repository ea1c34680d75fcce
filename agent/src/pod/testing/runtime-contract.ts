import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  type ContainerSpec,
  type ContainerState,
  type ExecOutput,
  type ProcessSpec,
  type Runtime,
  RuntimeError,
  type RuntimeErrorReason,
  type RuntimeEvent,
  type SandboxSpec,
} from "@tessera/runtime-native";
import { until } from "./harness.ts";

type Exited = Extract<ContainerState, { phase: "exited" }>;

/** A place where runtimes come and go, as agents do; the sandboxes stay. */
export interface RuntimePlace {
  /** A runtime in this place, as a started agent makes it. */
  runtime(): Runtime;
  /** A container with that command, its folders made. */
  container(id: string, argv: readonly string[]): Promise<ContainerSpec>;
  /** Kills the sandbox's shim. */
  kill(sandbox: string): Promise<void>;
  close(): Promise<void>;
}

const SANDBOX: SandboxSpec = {
  id: "contract-pod",
  hostname: "contract",
  network: { kind: "host" },
  hostIpc: false,
  sharePids: false,
  cgroup: "podcontract-pod",
  resources: {},
  sysctls: {},
};
const SILENT: ExecOutput = { stdout: () => undefined, stderr: () => undefined };
const SLEEP = ["/bin/sleep", "1000"];
/** Busybox's shell and the fake's little parser both understand it. */
const exitWith = (code: number) => ["/bin/sh", "-c", `exit ${code}`];
const STUBBORN = ["/bin/sh", "-c", "trap '' TERM; while true; do sleep 1; done", "ignore-signals"];

/** What every Runtime must do alike: run on the fake it keeps hollow nodes honest, on the native one it says what the agent relies on. */
export function runtimeContract(name: string, make: () => Promise<RuntimePlace>): void {
  describe(`runtime contract: ${name}`, () => {
    let place: RuntimePlace;
    let runtime: Runtime;
    let events: RuntimeEvent[];
    const signal = () => AbortSignal.timeout(10_000);

    beforeEach(async () => {
      place = await make();
      runtime = place.runtime();
      events = [];
      runtime.onEvent((event) => events.push(event));
    });
    afterEach(async () => {
      await runtime.removeSandbox(SANDBOX.id);
      await runtime.close();
      await place.close();
    });

    async function start(id: string, argv: readonly string[]) {
      return await runtime.startContainer(SANDBOX.id, await place.container(id, argv), signal());
    }
    async function exitOf(id: string): Promise<Exited> {
      const find = () =>
        events.flatMap((event) => (event.event === "containerExited" && event.container.id === id ? [event.container] : []))[0];
      await until(
        () => find() !== undefined,
        () => events,
      );
      return find() ?? assert.fail();
    }
    async function refused(work: Promise<unknown>, reason: RuntimeErrorReason): Promise<void> {
      await assert.rejects(work, (error) => {
        assert.ok(error instanceof RuntimeError, String(error));
        assert.equal(error.reason, reason, error.message);
        return true;
      });
    }

    it("makes a sandbox that the next agent finds, with what runs in it", async () => {
      const made = await runtime.createSandbox(SANDBOX, signal());
      assert.deepEqual([made.id, made.containers], [SANDBOX.id, []]);
      const running = await start("main_0", SLEEP);
      await runtime.close();
      runtime = place.runtime();
      const [found, ...others] = await runtime.recover(signal());
      assert.equal(others.length, 0);
      assert.equal(found?.pid, made.pid);
      assert.deepEqual(found?.containers, [running]);
    });

    it("tells the next agent how a container ended in between", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      await start("main_0", exitWith(3));
      const exit = await exitOf("main_0");
      await runtime.close();
      runtime = place.runtime();
      assert.deepEqual((await runtime.recover(signal()))[0]?.containers, [exit]);
    });

    it("shows a paused container as such to every agent until it is resumed, and kills it all the same", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      const running = await start("main_0", SLEEP);
      await runtime.pauseContainer(SANDBOX.id, "main_0");
      await runtime.pauseContainer(SANDBOX.id, "main_0");
      await runtime.close();
      runtime = place.runtime();
      runtime.onEvent((event) => events.push(event));
      assert.deepEqual((await runtime.recover(signal()))[0]?.containers, [{ ...running, paused: true }]);
      await refused(runtime.exec(SANDBOX.id, "main_0", PROCESS, false, SILENT, signal()), "InvalidArgument");
      await runtime.resumeContainer(SANDBOX.id, "main_0");
      await runtime.close();
      runtime = place.runtime();
      runtime.onEvent((event) => events.push(event));
      assert.deepEqual((await runtime.recover(signal()))[0]?.containers, [running]);
      await runtime.pauseContainer(SANDBOX.id, "main_0");
      await runtime.signalContainer(SANDBOX.id, "main_0", 9);
      assert.equal((await exitOf("main_0")).exitCode, 137);
      await runtime.pauseContainer(SANDBOX.id, "main_0");
    });

    it("makes no second sandbox of one name", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      await refused(runtime.createSandbox(SANDBOX, signal()), "AlreadyExists");
    });

    it("reports an exit with its code and times, after the start", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      const running = await start("main_0", exitWith(7));
      const { phase, exitCode, signal: bySignal, oomKilled, startedAtMs, finishedAtMs } = await exitOf("main_0");
      assert.deepEqual([phase, exitCode, bySignal, oomKilled], ["exited", 7, 0, false]);
      assert.equal(startedAtMs, running.startedAtMs);
      assert.ok(finishedAtMs >= startedAtMs);
    });

    it("says which commands cannot be run, and leaves nothing of them", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      await refused(start("main_0", ["/no/such/command"]), "CommandNotFound");
      await runtime.removeContainer(SANDBOX.id, "main_0");
      assert.equal((await start("main_0", SLEEP)).id, "main_0");
      await refused(start("main_0", SLEEP), "AlreadyExists");
    });

    it("starts nothing where there is no sandbox", async () => {
      await refused(start("main_0", SLEEP), "NotFound");
    });

    it("signals a container's first process; one that has ended is no error", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      // Its shell handles TERM, so that the first process of a namespace gets it.
      await start("main_0", STUBBORN);
      await runtime.signalContainer(SANDBOX.id, "main_0", 15);
      await runtime.signalContainer(SANDBOX.id, "main_0", 9);
      const exit = await exitOf("main_0");
      assert.deepEqual([exit.exitCode, exit.signal], [137, 9]);
      await runtime.signalContainer(SANDBOX.id, "main_0", 15);
    });

    it("forgets ended containers, also twice, also those that never were", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      await start("main_0", exitWith(0));
      await exitOf("main_0");
      await runtime.removeContainer(SANDBOX.id, "main_0");
      await runtime.removeContainer(SANDBOX.id, "main_0");
      await runtime.removeContainer(SANDBOX.id, "never_0");
      await runtime.removeContainer("nowhere", "main_0");
      await runtime.close();
      runtime = place.runtime();
      assert.deepEqual((await runtime.recover(signal()))[0]?.containers, []);
    });

    it("removes a sandbox with all that runs, also twice, also one that never was", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      await start("main_0", STUBBORN);
      await runtime.removeSandbox(SANDBOX.id);
      await runtime.removeSandbox(SANDBOX.id);
      await runtime.removeSandbox("nowhere");
      assert.deepEqual(await runtime.recover(signal()), []);
      await runtime.createSandbox(SANDBOX, signal());
    });

    it("makes nothing when it is cancelled before", async () => {
      await refused(runtime.createSandbox(SANDBOX, AbortSignal.abort()), "Cancelled");
      await runtime.createSandbox(SANDBOX, signal());
      const spec = await place.container("main_0", SLEEP);
      await refused(runtime.startContainer(SANDBOX.id, spec, AbortSignal.abort()), "Cancelled");
      assert.equal((await start("main_0", SLEEP)).phase, "running");
    });

    it("reports a sandbox whose shim is gone, and makes it anew after it was removed", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      await start("main_0", SLEEP);
      await place.kill(SANDBOX.id);
      await until(
        () => events.some((event) => event.event === "sandboxLost" && event.sandbox === SANDBOX.id),
        () => events,
      );
      await refused(start("main_1", SLEEP), "NotFound");
      await runtime.removeSandbox(SANDBOX.id);
      await runtime.createSandbox(SANDBOX, signal());
    });

    it("counts what a running container uses, and nothing of one that does not run", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      await start("main_0", ["/bin/sh", "-c", "while true; do :; done"]);
      const others = [
        { sandbox: SANDBOX.id, container: "never_0" },
        { sandbox: "nowhere", container: "main_0" },
      ];
      const usage = async () => {
        const [missing, main, nowhere] = await runtime.usage([
          ...others.slice(0, 1),
          { sandbox: SANDBOX.id, container: "main_0" },
          ...others.slice(1),
        ]);
        assert.deepEqual([missing, nowhere], [undefined, undefined]);
        if (main instanceof Error) throw main;
        return main;
      };
      const first = await usage();
      assert.ok(first !== undefined && first.memoryWorkingSetBytes > 0n);
      await until(async () => ((await usage())?.cpuNs ?? 0n) > first.cpuNs, usage);
      assert.ok(((await usage())?.timeNs ?? 0n) > first.timeNs);
      await runtime.signalContainer(SANDBOX.id, "main_0", 9);
      await exitOf("main_0");
      assert.equal(await usage(), undefined);
      assert.deepEqual(await runtime.usage([]), []);
    });

    it("attaches to what runs only, and a session that holds stdin ends it", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      await runtime.startContainer(SANDBOX.id, { ...(await place.container("main_0", ["cat"])), stdin: true }, signal());
      let text = "";
      const output: ExecOutput = {
        stdout: (chunk) => {
          text += Buffer.from(chunk).toString();
        },
        stderr: () => undefined,
      };
      const watching = await runtime.attach(SANDBOX.id, "main_0", output, signal());
      await watching.write(Buffer.from("one\n"));
      await until(
        () => text === "one\n",
        () => text,
      );
      watching.kill();
      const holding = await runtime.attach(SANDBOX.id, "main_0", output, signal(), { endsStdin: true });
      holding.closeStdin();
      assert.equal((await holding.exited).exitCode, 0);
      assert.equal((await exitOf("main_0")).exitCode, 0);
      await refused(runtime.attach(SANDBOX.id, "main_0", output, signal()), "NotFound");
      await refused(runtime.attach(SANDBOX.id, "other_0", output, signal()), "NotFound");
    });

    it("runs commands in a running container only", async () => {
      await runtime.createSandbox(SANDBOX, signal());
      await start("main_0", SLEEP);
      let text = "";
      const output: ExecOutput = {
        stdout: (chunk) => {
          text += Buffer.from(chunk).toString();
        },
        stderr: () => undefined,
      };
      const exec = async (argv: readonly string[], stdin = false) =>
        await runtime.exec(SANDBOX.id, "main_0", { ...PROCESS, argv }, stdin, output, signal());
      assert.equal((await (await exec(exitWith(4))).exited).exitCode, 4);
      assert.equal((await (await exec(["echo", "hello"])).exited).exitCode, 0);
      assert.equal(text, "hello\n");
      const cat = await exec(["cat"], true);
      await cat.write(Buffer.from("again\n"));
      cat.closeStdin();
      assert.equal((await cat.exited).exitCode, 0);
      assert.equal(text, "hello\nagain\n");
      await refused(exec(["/no/such/command"]), "CommandNotFound");
      await refused(runtime.exec(SANDBOX.id, "other_0", PROCESS, false, output, signal()), "NotFound");
    });
  });
}

export const PROCESS: ProcessSpec = {
  argv: ["true"],
  env: ["PATH=/bin"],
  cwd: "/",
  user: { uid: 0, gid: 0, additionalGids: [] },
  terminal: false,
};
