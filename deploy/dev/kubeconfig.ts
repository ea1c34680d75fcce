import { randomUUID } from "node:crypto";
import { link, mkdir, readFile, realpath, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { TesseraError } from "@tessera/proto";
import { type Document, isMap, isSeq, parse, parseDocument, YAMLSeq } from "yaml";
import { writeFileAtomically } from "./cluster-file.ts";
import { isAlive, readStat } from "./host-process.ts";
import { waitFor } from "./wait.ts";

/** How to reach a cluster as its administrator. */
export interface AdminAccess {
  readonly server: string;
  /** PEM, base64. */
  readonly certificateAuthority: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
}

/** Reads the kubeconfig that the control plane writes for its administrator. */
export async function readAdminAccess(path: string): Promise<AdminAccess> {
  const config = parse(await readFile(path, "utf8"));
  const cluster = config?.clusters?.[0]?.cluster;
  const user = config?.users?.[0]?.user;
  const access = {
    server: cluster?.server,
    certificateAuthority: cluster?.["certificate-authority-data"],
    clientCertificate: user?.["client-certificate-data"],
    clientKey: user?.["client-key-data"],
  };
  for (const [field, value] of Object.entries(access)) {
    if (typeof value !== "string") throw new TesseraError("InternalError", `${path} does not say the ${field} of the cluster`);
  }
  return access;
}

/** Adds a cluster under one name to a kubeconfig file, or replaces what is there of that name, and makes it the current one. */
export async function addToKubeconfig(path: string, name: string, access: AdminAccess): Promise<void> {
  await editKubeconfig(path, (document) => {
    const cluster = { server: access.server, "certificate-authority-data": access.certificateAuthority };
    const user = { "client-certificate-data": access.clientCertificate, "client-key-data": access.clientKey };
    const changes = [
      setEntry(document, "clusters", name, { cluster }),
      setEntry(document, "users", name, { user }),
      setEntry(document, "contexts", name, { context: { cluster: name, user: name } }),
    ];
    const isCurrent = document.get("current-context") === name;
    if (!isCurrent) document.set("current-context", name);
    return changes.includes(true) || !isCurrent;
  });
}

/** Takes out everything of that name. What else the file holds stays as it is. */
export async function removeFromKubeconfig(path: string, name: string): Promise<void> {
  await editKubeconfig(path, (document) => {
    const changes = ["clusters", "users", "contexts"].map((kind) => removeEntry(document, kind, name));
    const wasCurrent = document.get("current-context") === name;
    if (wasCurrent) document.set("current-context", "");
    return changes.includes(true) || wasCurrent;
  });
}

/** Names of all contexts in a kubeconfig file. */
export async function readContexts(path: string): Promise<string[]> {
  const contexts = (await readDocument(path)).get("contexts");
  if (!isSeq(contexts)) return [];
  return contexts.items.flatMap((item) => (isMap(item) && typeof item.get("name") === "string" ? [String(item.get("name"))] : []));
}

/** Returns true when the file had another value there. */
function setEntry(document: Document, kind: string, name: string, body: Record<string, unknown>): boolean {
  const entry = { name, ...body };
  let list = document.get(kind);
  if (!isSeq(list)) {
    list = new YAMLSeq(document.schema);
    document.set(kind, list);
  }
  const entries = list as YAMLSeq;
  const index = entries.items.findIndex((item) => isMap(item) && item.get("name") === name);
  if (index < 0) {
    // "[]", as it is written when the last entry goes, would keep everything on one line.
    if (entries.items.length === 0) entries.flow = false;
    entries.add(document.createNode(entry));
    return true;
  }
  const existing = entries.items[index];
  if (isMap(existing) && JSON.stringify(existing.toJS(document)) === JSON.stringify(entry)) return false;
  entries.items[index] = document.createNode(entry);
  return true;
}

function removeEntry(document: Document, kind: string, name: string): boolean {
  const list = document.get(kind);
  if (!isSeq(list)) return false;
  const kept = list.items.filter((item) => !(isMap(item) && item.get("name") === name));
  const changed = kept.length < list.items.length;
  list.items = kept;
  return changed;
}

async function editKubeconfig(path: string, change: (document: Document) => boolean): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await withKubeconfigLock(path, async () => {
    const document = await readDocument(path);
    if (!change(document)) return;
    // A kubeconfig may be a link to where a person keeps it.
    const target = await realpath(path).catch(() => path);
    await writeFileAtomically(target, document.toString({ lineWidth: 0 }), 0o600);
  });
}

async function readDocument(path: string): Promise<Document> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  const document: Document = parseDocument(text);
  const fault = document.errors[0];
  if (fault !== undefined)
    throw new TesseraError("BadRequest", `kubeconfig ${path} is not valid YAML and was left alone: ${fault.message}`);
  if (document.contents === null) document.contents = document.createNode({ apiVersion: "v1", kind: "Config", preferences: {} });
  if (!isMap(document.contents)) throw new TesseraError("BadRequest", `kubeconfig ${path} does not hold a mapping and was left alone`);
  return document;
}

/**
 * The lock file that kubectl uses as well: whoever creates it may write. Ours says who we are, so that the lock of a process that was
 * killed does not stay for ever.
 */
async function withKubeconfigLock(path: string, work: () => Promise<void>): Promise<void> {
  const lock = `${path}.lock`;
  const mine = `${lock}.${randomUUID()}`;
  await writeFile(mine, JSON.stringify({ pid: process.pid, startTime: (await readStat(process.pid))?.startTime }), { mode: 0o600 });
  try {
    const taken = await waitFor(async () => ((await tryLink(mine, lock)) ? true : undefined), { deadlineMs: 5000 });
    if (!taken) throw new TesseraError("Conflict", `${lock} says that another program writes the kubeconfig; remove it if none does`);
    try {
      await work();
    } finally {
      await rm(lock, { force: true });
    }
  } finally {
    await rm(mine, { force: true });
  }
}

async function tryLink(mine: string, lock: string): Promise<boolean> {
  try {
    await link(mine, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  if (await isStale(lock)) await removeStale(lock, `${mine}.stale`);
  return false;
}

async function isStale(lock: string): Promise<boolean> {
  const holder = await readFile(lock, "utf8").catch(() => "");
  return holder !== "" && !(await isAlive(JSON.parse(holder)));
}

/** Another process may have removed it and taken the lock since we looked: what was moved away is looked at once more. */
async function removeStale(lock: string, aside: string): Promise<void> {
  const moved = await rename(lock, aside).then(
    () => true,
    () => false,
  );
  if (!moved) return;
  if (!(await isStale(aside))) await link(aside, lock).catch(() => {});
  await rm(aside, { force: true });
}
