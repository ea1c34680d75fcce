import type { LifecycleHandler } from "@tessera/proto";
import type { Clock } from "../clock.ts";
import { httpGet } from "./http-get.ts";
import { type ActionTarget, hostOf, portOf } from "./probe.ts";
import { shown } from "./probe-result.ts";

/**
 * Does what a postStart or preStop hook says. Throws with what went wrong. As in Kubernetes any answer to a GET request will do, whatever
 * its status: a hook tells the container something, it asks nothing.
 */
export async function runHook(handler: LifecycleHandler, target: ActionTarget, clock: Clock, signal: AbortSignal): Promise<void> {
  const { exec, httpGet: get, sleep } = handler;
  if (exec) await runHookCommand(exec.command ?? [], target, signal);
  else if (get) await httpGet(get, hostOf(get.host, target), portOf(get.port, target.spec), signal);
  else if (sleep) await pause(clock, (sleep.seconds ?? 0) * 1000, signal);
  else throw new Error("a hook can only be exec, httpGet or sleep");
}

async function runHookCommand(command: readonly string[], target: ActionTarget, signal: AbortSignal): Promise<void> {
  const { exitCode, output } = await target.runCommand(command, signal);
  if (exitCode === 0) return;
  const words = shown(output);
  throw new Error(`command "${command.join(" ")}" exited with code ${exitCode}${words === "" ? "" : `: ${words}`}`);
}

async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = () => reject(signal.reason);
  signal.addEventListener("abort", fail, { once: true });
  const cancel = clock.wakeAt(clock.now() + ms, resolve);
  try {
    await promise;
  } finally {
    cancel();
    signal.removeEventListener("abort", fail);
  }
}
