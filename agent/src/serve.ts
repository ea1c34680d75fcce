import { mkdir, readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { nameProcess, readableInJournal, TesseraError, tellServiceManagerReady } from "@tessera/proto";
import { NativeHostFiles, NativeLibrary, NativeNodeNetwork, NativeRuntime } from "@tessera/runtime-native";
import { destination, type Logger, pino } from "pino";
import { Agent, type AgentParts } from "./agent.ts";
import { systemClock } from "./clock.ts";
import { joinCluster } from "./credentials/join.ts";
import { CredentialsFolder } from "./credentials/node-credentials.ts";
import { CertificateRenewal } from "./credentials/renewal.ts";
import { LocalImageStore, type RegistrySettings } from "./images/index.ts";
import { lockFolder } from "./lock-file.ts";
import { readCapacity } from "./node-capacity.ts";
import type { NodeFacts } from "./node-facts.ts";
import { dataPaths, sandboxesFolder } from "./paths.ts";
import { readIdentity } from "./session/node-status.ts";
import type { ServeSettings } from "./settings.ts";
import { releaseStartMemory } from "./start-memory.ts";

/** Runs a node's agent until SIGTERM or SIGINT. */
export async function serve(settings: ServeSettings): Promise<void> {
  const { dataDir, runDir, cgroupRoot, nativeDir, copyTools } = settings;
  // What a pod sees of the agent's files has the mode that it was made with.
  process.umask(0o022);
  nameProcess("tessera-agent");
  const log = pino({ level: settings.logLevel, base: { node: settings.nodeName } }, readableInJournal(destination({ fd: 2, sync: true })));
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());
  const unlock = lockFolder(dataDir);
  try {
    await mkdir(runDir, { recursive: true, mode: 0o700 });
    const library = new NativeLibrary({ nativeDir, cgroupRoot });
    const hostFiles = new NativeHostFiles({ library });
    const identity = await readIdentity(dataDir);
    const plane = await openControlPlane(settings, log);
    const agent = new Agent({
      node: await readFacts(settings),
      identity,
      dataDir,
      runtime: new NativeRuntime({ nativeDir, copyTools, runDir: sandboxesFolder(runDir), log, library, files: hostFiles }),
      network: new NativeNodeNetwork({ library, runDir }),
      hostFiles,
      images: await LocalImageStore.open({
        folder: dataPaths(dataDir).images,
        files: hostFiles,
        architecture: identity.architecture,
        registries: await readRegistries(settings),
        log,
      }),
      disk: {
        gcHighPercent: settings.imageGcHigh,
        gcLowPercent: Math.min(settings.imageGcLow, settings.imageGcHigh),
        minImageAgeMs: settings.imageMinimumAge * 1000,
        evictionPercent: settings.evictionDiskAvailable,
      },
      clock: systemClock,
      random: Math.random,
      usageIntervalMs: settings.usageInterval * 1000,
      log,
      ...plane,
    });
    await agent.run(stop.signal, () => {
      log.info("agent is ready");
      releaseStartMemory({ library, clock: systemClock, log }, stop.signal);
      const status = `node "${settings.nodeName}" of the control plane at ${plane.controlPlane.target}`;
      tellServiceManagerReady(status).catch((error: unknown) => log.error({ err: error }, "systemd could not be told"));
    });
  } finally {
    unlock();
  }
}

async function readFacts(settings: ServeSettings): Promise<NodeFacts> {
  return {
    name: settings.nodeName,
    hostname: hostname(),
    addresses: [settings.nodeAddress],
    ...(await readCapacity(settings.swapBehavior)),
    allowedUnsafeSysctls: settings.allowedUnsafeSysctl,
    seccompFolder: dataPaths(settings.dataDir).seccomp,
    podPidsLimit: settings.podPidsLimit === 0 ? undefined : settings.podPidsLimit,
    logMaxBytes: settings.logMaxBytes,
    logMaxFiles: settings.logMaxFiles,
  };
}

async function readRegistries({ registryCa, insecureRegistry }: ServeSettings): Promise<RegistrySettings> {
  if (registryCa === undefined) return { insecure: insecureRegistry };
  try {
    return { ca: await readFile(registryCa, "utf8"), insecure: insecureRegistry };
  } catch (error) {
    throw new TesseraError("BadRequest", `--registry-ca: ${(error as Error).message}`, { cause: error });
  }
}

/** Joins first when the node has not yet and the settings say how. */
async function openControlPlane(
  settings: ServeSettings,
  log: Logger,
): Promise<Pick<AgentParts, "controlPlane"> & { renewal: CertificateRenewal }> {
  const { join: address, token, caHash, nodeName } = settings;
  if (address !== undefined) {
    if (token === undefined || caHash === undefined) throw new TesseraError("BadRequest", "--join needs --token and --ca-hash too");
    await joinCluster({ join: address, token, caHash, nodeName, credentials: settings.credentials }, log);
  }
  const folder = new CredentialsFolder(settings.credentials);
  const current = await folder.read();
  if (current === undefined) {
    const hint = `make this machine a node with "agent join", whose flags "tsctl join-token create" prints`;
    throw new TesseraError("BadRequest", `${folder.path} does not hold ca.crt, node.crt and node.key: ${hint}`);
  }
  const target = settings.controlPlane ?? (await folder.controlPlane());
  if (target === undefined)
    throw new TesseraError("BadRequest", "--control-plane is missing: this node did not learn the address by joining");
  const renewal = new CertificateRenewal({ folder, current, clock: systemClock, random: Math.random, log });
  return { controlPlane: { target, credentials: () => renewal.channelCredentials }, renewal };
}
