import { X509Certificate } from "node:crypto";
import { request } from "node:https";
import { type Status, type StatusReason, TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import { lockFolder } from "../lock-file.ts";
import { CredentialsFolder, certifiedName } from "./node-credentials.ts";
import { controlPlaneName, fetchPinnedCa, publicKeyDigest } from "./pinned-ca.ts";

export interface JoinSettings {
  /** HOST:PORT of the API. */
  readonly join: string;
  /** ID.SECRET. */
  readonly token: string;
  /** "sha256:" and the hex digest of the CA's public key. */
  readonly caHash: string;
  readonly nodeName: string;
  /** Folder that gets the credentials. */
  readonly credentials: string;
}

const timeoutMs = 30_000;
const maxAnswerBytes = 1 << 20;

/**
 * Makes this machine a node: a key that never leaves it, and a certificate for it from the control plane. Does nothing where there are credentials of this
 * node already, and can be repeated after a crash at any point. Returns whether it joined now. Throws TesseraError that says what to do.
 */
export async function joinCluster(settings: JoinSettings, log: Logger, nowMs = Date.now()): Promise<boolean> {
  const folder = new CredentialsFolder(settings.credentials);
  const unlock = lockFolder(settings.credentials);
  try {
    const digest = parseDigest(settings.caHash);
    if (await isNode(folder, settings.nodeName, digest, nowMs)) return false;
    const { host, port } = parseAddress(settings.join);
    const ca = await fetchPinnedCa(host, port, digest);
    // Loaded here, because few agents ever join.
    const { newKey, signingRequest } = await import("./signing-request.ts");
    let isNewKey = false;
    const key = await folder.stagedKey(async () => {
      isNewKey = true;
      return await newKey();
    });
    const certificateSigningRequest = await signingRequest(settings.nodeName, key);
    const body = JSON.stringify({ nodeName: settings.nodeName, certificateSigningRequest });
    const { certificate, nodePort } = await post({ host, port, ca, token: settings.token }, body).catch(async (error: unknown) => {
      // Nobody but the control plane that refused it has heard of the key; an earlier one may have got a certificate whose answer was lost.
      if (isNewKey && error instanceof Refusal) await folder.forgetStagedKey();
      throw error;
    });
    if (!new X509Certificate(certificate).verify(new X509Certificate(ca).publicKey)) {
      throw new TesseraError("InternalError", `the certificate from ${settings.join} is not signed by the cluster's CA`);
    }
    const controlPlane = `${host.includes(":") ? `[${host}]` : host}:${nodePort}`;
    await folder.join({ ca, cert: certificate, controlPlane });
    log.info({ node: settings.nodeName, controlPlane, credentials: settings.credentials }, "joined the cluster");
    return true;
  } finally {
    unlock();
  }
}

/** Whether the folder holds credentials of this node that still serve. Throws when they are another node's, or of another cluster. */
async function isNode(folder: CredentialsFolder, nodeName: string, digest: string, nowMs: number): Promise<boolean> {
  const existing = await folder.read();
  if (existing === undefined) return false;
  const cluster = publicKeyDigest(new X509Certificate(existing.ca));
  if (cluster !== digest) {
    throw new TesseraError(
      "Conflict",
      `${folder.path} holds the credentials of a node of another cluster, whose CA is ${cluster}: join with --ca-hash ${cluster}, or uninstall the agent to make this machine a node of the cluster of ${digest}`,
    );
  }
  const name = certifiedName(existing.cert);
  if (name !== nodeName) {
    throw new TesseraError(
      "Conflict",
      `${folder.path} holds the credentials of ${name === undefined ? "something that is no node" : `node "${name}"`}: join with --node-name ${name ?? "NAME"}, or remove them to make this machine node "${nodeName}"`,
    );
  }
  return Date.parse(new X509Certificate(existing.cert).validTo) > nowMs;
}

function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(address);
  const port = Number(match?.[3] ?? 6443);
  if (match === null || port > 65_535) throw new TesseraError("BadRequest", `--join "${address}" is not HOST:PORT`);
  return { host: match[1] ?? match[2] ?? "", port };
}

function parseDigest(digest: string): string {
  if (/^sha256:[0-9a-f]{64}$/.test(digest)) return digest;
  throw new TesseraError("BadRequest", `--ca-hash "${digest}" is not "sha256:" and 64 hexadecimal digits`);
}

/** The control plane's own word that it gives no certificate. */
class Refusal extends TesseraError {}

interface Answer {
  readonly certificate: string;
  readonly nodePort: number;
}

function post(to: { host: string; port: number; ca: string; token: string }, body: string): Promise<Answer> {
  const { host, port, ca, token } = to;
  const where = `${host}:${port}`;
  return new Promise((resolve, reject) => {
    const call = request(
      {
        ...{ host, port, ca, servername: controlPlaneName, method: "POST", path: "/join/v1/nodes", agent: false, timeout: timeoutMs },
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json", "content-length": Buffer.byteLength(body) },
      },
      (response) => {
        const pieces: Buffer[] = [];
        let size = 0;
        response.on("data", (piece: Buffer) => {
          size += piece.length;
          if (size > maxAnswerBytes) call.destroy(new Error("the answer is too long"));
          else pieces.push(piece);
        });
        response.on("end", () => {
          try {
            resolve(readAnswer(where, response.statusCode ?? 0, Buffer.concat(pieces).toString()));
          } catch (error) {
            reject(error);
          }
        });
      },
    );
    call.on("timeout", () => call.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    call.on("error", (cause) =>
      reject(new TesseraError("ServiceUnavailable", `the join at ${where} failed: ${cause.message}; it can be repeated`, { cause })),
    );
    call.end(body);
  });
}

function readAnswer(where: string, code: number, text: string): Answer {
  const strange = () => new TesseraError("InternalError", `${where} answered ${code}, but not as a control plane of Tessera does`);
  let value: (Partial<Answer> & Partial<Status>) | null;
  try {
    value = JSON.parse(text);
  } catch {
    throw strange();
  }
  if (code === 200 && typeof value?.certificate === "string" && typeof value.nodePort === "number") {
    return { certificate: value.certificate, nodePort: value.nodePort };
  }
  if (typeof value?.reason !== "string" || typeof value.message !== "string") throw strange();
  throw new Refusal(value.reason as StatusReason, `the control plane at ${where} refuses: ${value.message}`);
}
