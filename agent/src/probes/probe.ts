import type { Container, HTTPGetAction, TCPSocketAction } from "@tessera/proto";
import type { CommandResult } from "./command.ts";
import { dial } from "./dial.ts";
import { checkGrpcHealth } from "./grpc-health.ts";
import { httpGet } from "./http-get.ts";
import { failure, type ProbeResult, shown, success } from "./probe-result.ts";
import type { ProbeSettings } from "./schedule.ts";

/** How a container can be reached. */
export interface ActionTarget {
  /** The pod's address, the node's for a pod in the node's network; undefined while there is none. */
  readonly address: string | undefined;
  readonly spec: Container;
  /** Runs a command in the container; throws what kept it from being run. */
  readonly runCommand: (command: readonly string[], signal: AbortSignal) => Promise<CommandResult>;
}

/**
 * Looks at a container once, the way its probe says. What the container does wrong, also by not answering in time, is a failure; what the
 * node could not do is "unknown". Requests come from the node's own network, no thread enters the pod's. Never throws.
 */
export async function runProbe({ action, timeoutMs }: ProbeSettings, target: ActionTarget, signal: AbortSignal): Promise<ProbeResult> {
  const deadline = new AbortController();
  const end = () => deadline.abort(signal.reason);
  const timer = setTimeout(() => deadline.abort(new TimedOut(timeoutMs)), timeoutMs);
  signal.addEventListener("abort", end, { once: true });
  try {
    if (action.exec) return await probeByCommand(action.exec.command ?? [], target, deadline.signal);
    if (action.httpGet) return await probeByHttp(action.httpGet, target, deadline.signal);
    if (action.tcpSocket) return await probeByTcp(action.tcpSocket, target, deadline.signal);
    if (action.grpc) return await checkGrpcHealth(action.grpc, hostOf(undefined, target), deadline.signal);
    return { outcome: "unknown", message: "the probe does not say what to do" };
  } catch (error) {
    const message = shown(error instanceof Error ? error.message : String(error));
    return error instanceof NodeFault ? { outcome: "unknown", message } : failure(message);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

class TimedOut extends Error {
  constructor(afterMs: number) {
    super(`timed out after ${afterMs / 1000}s`);
  }
}

/** Says nothing about the container. */
class NodeFault extends Error {}

async function probeByCommand(command: readonly string[], target: ActionTarget, signal: AbortSignal): Promise<ProbeResult> {
  let result: CommandResult;
  try {
    result = await target.runCommand(command, signal);
  } catch (error) {
    if (error instanceof TimedOut) return failure(`command "${command.join(" ")}" ${error.message}`);
    throw new NodeFault(error instanceof Error ? error.message : String(error), { cause: error });
  }
  const output = shown(result.output);
  return result.exitCode === 0 ? success(output) : failure(output || `the command exited with code ${result.exitCode}`);
}

async function probeByHttp(action: HTTPGetAction, target: ActionTarget, signal: AbortSignal): Promise<ProbeResult> {
  const { status, elsewhere } = await httpGet(action, hostOf(action.host, target), portOf(action.port, target.spec), signal);
  if (elsewhere !== undefined) return success(`redirected to ${shown(elsewhere)}, which is not followed`);
  return status >= 200 && status < 400 ? success() : failure(`HTTP probe failed with statuscode: ${status}`);
}

async function probeByTcp(action: TCPSocketAction, target: ActionTarget, signal: AbortSignal): Promise<ProbeResult> {
  await dial(hostOf(action.host, target), portOf(action.port, target.spec), signal);
  return success();
}

/** The host that an action names, else the pod's address. */
export function hostOf(named: string | undefined, { address }: ActionTarget): string {
  const host = named || address;
  if (host === undefined) throw new NodeFault("the pod has no address");
  return host;
}

/** A port by number, or by the name that the container gives it. */
export function portOf(port: number | string | undefined, { name, ports }: Container): number {
  if (typeof port === "number") return port;
  const named = (ports ?? []).find((one) => one.name === port);
  if (named?.containerPort !== undefined) return named.containerPort;
  throw new Error(`container "${name}" has no port named "${port}"`);
}
