import type { Container, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction } from "@tessera/proto";
import { type Fault, forbidden, invalid, notSupported, required } from "../../faults.ts";
import { checkPortName } from "../../names.ts";
import { isPort } from "./ports.ts";

export function validateContainerProbes(container: Container, path: string): Fault[] {
  const faults: Fault[] = [];
  for (const field of ["livenessProbe", "readinessProbe", "startupProbe"] as const) {
    const probe = container[field];
    if (probe === undefined) continue;
    faults.push(...validateProbe(probe, `${path}.${field}`));
    if (field !== "readinessProbe" && (probe.successThreshold ?? 1) !== 1)
      faults.push(invalid(`${path}.${field}.successThreshold`, probe.successThreshold, "must be 1"));
    if (field === "readinessProbe" && probe.terminationGracePeriodSeconds !== undefined) {
      faults.push(
        invalid(
          `${path}.${field}.terminationGracePeriodSeconds`,
          probe.terminationGracePeriodSeconds,
          "must not be set for readinessProbes",
        ),
      );
    }
  }
  return faults;
}

function validateProbe(probe: Probe, path: string): Fault[] {
  const faults = validateHandler(probe, ["exec", "httpGet", "tcpSocket", "grpc"], path);
  for (const field of ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] as const) {
    const value = probe[field] ?? 0;
    if (value < 0) faults.push(invalid(`${path}.${field}`, value, "must be greater than or equal to 0"));
  }
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0) faults.push(invalid(`${path}.terminationGracePeriodSeconds`, grace, "must be greater than 0"));
  return faults;
}

export function validateLifecycle(container: Container, path: string, os: string | undefined): Fault[] {
  const faults = (["postStart", "preStop"] as const).flatMap((field) => {
    const handler = container.lifecycle?.[field];
    return handler === undefined ? [] : validateHandler(handler, ["exec", "httpGet", "tcpSocket", "sleep"], `${path}.lifecycle.${field}`);
  });
  const signal = container.lifecycle?.stopSignal;
  if (signal === undefined) return faults;
  const at = `${path}.lifecycle.stopSignal`;
  if (!os) faults.push(forbidden(at, "may not be set for containers with empty `spec.os.name`"));
  if (!STOP_SIGNALS.includes(signal)) faults.push(notSupported(at, signal, STOP_SIGNALS));
  return faults;
}

const upTo = (count: number) => Array.from({ length: count }, (_, place) => place + 1);

/** Linux' signals by name, the real-time ones counted from their first and their last. */
const STOP_SIGNALS: readonly string[] = [
  ...[
    "ABRT",
    "ALRM",
    "BUS",
    "CHLD",
    "CONT",
    "FPE",
    "HUP",
    "ILL",
    "INT",
    "IO",
    "IOT",
    "KILL",
    "PIPE",
    "POLL",
    "PROF",
    "PWR",
    "QUIT",
    "SEGV",
  ],
  ...["STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ"],
  ...["RTMIN", ...upTo(15).map((n) => `RTMIN+${n}`), ...upTo(14).map((n) => `RTMAX-${n}`), "RTMAX"],
].map((name) => `SIG${name}`);

type Handler = Probe & LifecycleHandler;

/** Exactly one way to act, and that one right. */
function validateHandler(handler: Handler, kinds: readonly ("exec" | "httpGet" | "tcpSocket" | "grpc" | "sleep")[], path: string): Fault[] {
  const given = kinds.filter((kind) => handler[kind] !== undefined);
  if (given.length === 0) return [required(path, "must specify a handler type")];
  const faults = given.slice(1).map((kind) => forbidden(`${path}.${kind}`, "may not specify more than 1 handler type"));
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  if (exec !== undefined && (exec.command ?? []).length === 0) faults.push(required(`${path}.exec.command`));
  if (httpGet !== undefined) faults.push(...validateHttpGet(httpGet, `${path}.httpGet`));
  if (tcpSocket !== undefined) faults.push(...validatePort(tcpSocket.port, `${path}.tcpSocket.port`));
  if (grpc !== undefined && !isPort(grpc.port ?? 0))
    faults.push(invalid(`${path}.grpc.port`, grpc.port ?? 0, "must be between 1 and 65535, inclusive"));
  if (sleep !== undefined && (sleep.seconds ?? 0) < 0)
    faults.push(invalid(`${path}.sleep.seconds`, sleep.seconds, "must be greater than or equal to 0"));
  return faults;
}

function validateHttpGet(action: HTTPGetAction, path: string): Fault[] {
  const faults = validatePort(action.port, `${path}.port`);
  if (action.path === "") faults.push(required(`${path}.path`));
  for (const [index, header] of (action.httpHeaders ?? []).entries()) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(header.name ?? "")) {
      faults.push(
        invalid(
          `${path}.httpHeaders[${index}].name`,
          header.name,
          "a valid HTTP header must consist of token characters (e.g. 'X-Header-Name')",
        ),
      );
    }
  }
  return faults;
}

/** A number, or the name of a port; whether the container has one of that name is found out when it is probed. */
function validatePort(port: TCPSocketAction["port"], path: string): Fault[] {
  if (port === undefined) return [required(path)];
  if (typeof port === "number") return isPort(port) ? [] : [invalid(path, port, "must be between 1 and 65535, inclusive")];
  const fault = checkPortName(port);
  return fault === undefined ? [] : [invalid(path, port, fault)];
}
