import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import {
  formatHostPort,
  type HostFiles,
  type HostPortsSpec,
  HostPortTaken,
  type NewEntry,
  type NodeNetwork,
  type PeerNode,
  type PodNetworkSpec,
  RuntimeError,
} from "@tessera/runtime-native";
import type {
  ImagePuller,
  ImageRemoval,
  ImageStore,
  LocalImage,
  PullOptions,
  RegistryCredentials,
  StoredImage,
} from "../../images/index.ts";
import { isErrno } from "../store.ts";

/** A `NodeNetwork` that only keeps the books, for hollow nodes and tests. Outlives its agent as the kernel's does. */
export class FakeNetwork implements NodeNetwork {
  readonly netns = new Map<string, string>();
  readonly hostPorts = new Map<string, HostPortsSpec>();
  peers: readonly PeerNode[] = [];
  nodeCidr = "";
  /** Thrown by the next createPodNetns. */
  failure: Error | undefined;

  async ensureNode(spec: { podCidr: string }): Promise<void> {
    this.nodeCidr = spec.podCidr;
  }
  async setPeers(peers: readonly PeerNode[]): Promise<void> {
    this.peers = peers;
  }
  async createPodNetns(spec: PodNetworkSpec): Promise<{ path: string }> {
    await Promise.resolve();
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
    if (this.netns.has(spec.id)) throw new Error(`network namespace ${spec.id} exists`);
    this.netns.set(spec.id, spec.address);
    return { path: `/fake/netns/${spec.id}` };
  }
  async releaseNetns(id: string): Promise<void> {
    await Promise.resolve();
    this.netns.delete(id);
  }
  async openHostPorts(spec: HostPortsSpec): Promise<void> {
    await Promise.resolve();
    for (const port of spec.ports)
      for (const { id, ports } of this.hostPorts.values())
        if (id !== spec.id && ports.some((one) => formatHostPort(one) === formatHostPort(port))) throw new HostPortTaken(port, id);
    this.hostPorts.set(spec.id, spec);
  }
  async closeHostPorts(id: string): Promise<void> {
    await Promise.resolve();
    this.hostPorts.delete(id);
  }
  async listHostPorts(): Promise<HostPortsSpec[]> {
    return [...this.hostPorts.values()];
  }
  async removeNode(): Promise<void> {
    this.netns.clear();
    this.hostPorts.clear();
  }
  async close(): Promise<void> {}
}

/** `HostFiles` without privileges: what would be a tmpfs is a plain folder. */
export class FakeHostFiles implements Pick<HostFiles, "makeFolder" | "removeTree" | "unmountBelow" | "mountTmpfs" | "mountHugepages"> {
  readonly mounted = new Set<string>();

  async makeFolder(path: string, mode: number, entries: Readonly<Record<string, NewEntry>>): Promise<void> {
    try {
      await mkdir(path, { mode });
    } catch (cause) {
      const reason = isErrno(cause, "EEXIST") ? "AlreadyExists" : isErrno(cause, "ENOSPC") ? "NoSpace" : "Internal";
      throw new RuntimeError(reason, `make folder: ${cause instanceof Error ? cause.message : cause}`, { step: "make folder", cause });
    }
    for (const [name, entry] of Object.entries(entries)) {
      if (entry.type === "folder") await mkdir(join(path, name), { mode: entry.mode });
      else await writeFile(join(path, name), "", { flag: "wx", mode: entry.mode });
      await chmod(join(path, name), entry.mode);
    }
  }

  async removeTree(path: string): Promise<void> {
    const busy = [...this.mounted].find((mount) => mount === path || mount.startsWith(`${path}/`));
    if (busy !== undefined) throw new Error(`${busy} is still mounted`);
    await rm(path, { recursive: true, force: true });
  }
  async unmountBelow(path: string): Promise<void> {
    for (const mount of this.mounted) if (mount === path || mount.startsWith(`${path}/`)) this.mounted.delete(mount);
  }
  async mountTmpfs(path: string): Promise<void> {
    await mkdir(path, { recursive: true });
    this.mounted.add(path);
  }
  async mountHugepages(path: string): Promise<void> {
    await this.mountTmpfs(path);
  }
}

export function fakeImage(name: string, config: Partial<LocalImage["config"]> = {}): LocalImage {
  return {
    id: `sha256:${Buffer.from(name).toString("hex").padEnd(64, "0").slice(0, 64)}`,
    names: [name],
    digests: [],
    sizeBytes: 1_000_000,
    layers: [],
    config: { entrypoint: [], cmd: ["/bin/app"], env: [], workingDir: "", user: "", volumes: [], exposedPorts: [], ...config },
  };
}

/** An image store whose images have no content. */
export class FakeImages implements ImageStore, ImagePuller, ImageRemoval {
  readonly images = new Map<string, LocalImage>();
  /** What the registry has; an error is its answer. */
  readonly registry = new Map<string, LocalImage | Error>();
  /** Names that were pulled, and the users they were pulled for. */
  readonly pulls: { readonly name: string; readonly users: readonly string[] }[] = [];
  /** Who alone may use an image; the others are for everybody. */
  readonly owners = new Map<string, string>();
  readonly lower: readonly string[];

  constructor(names: readonly string[], lower: readonly string[] = []) {
    this.lower = lower;
    for (const name of names) this.images.set(name, fakeImage(name));
  }
  async resolve(name: string): Promise<LocalImage | undefined> {
    return this.images.get(name);
  }
  async list(): Promise<LocalImage[]> {
    return [...this.images.values()];
  }
  async load(archive: AsyncIterable<Uint8Array>): Promise<string[]> {
    let text = "";
    for await (const chunk of archive) text += Buffer.from(chunk).toString();
    this.images.set(text, fakeImage(text));
    return [text];
  }
  async pull(name: string, { credentials = [] }: PullOptions): Promise<LocalImage> {
    this.pulls.push({ name, users: credentials.map(({ username }) => username) });
    await Promise.resolve();
    const answer = this.registry.get(name) ?? new TesseraError("NotFound", `manifest for ${name} not found in registry.example`);
    if (answer instanceof Error) throw answer;
    this.images.set(name, answer);
    return answer;
  }
  async mayUse(name: string, credentials: readonly RegistryCredentials[]): Promise<boolean> {
    const owner = this.owners.get(name);
    return owner === undefined || credentials.some(({ username }) => username === owner);
  }
  async proveRights(name: string, options: PullOptions): Promise<LocalImage> {
    return await this.pull(name, options);
  }
  stored(): StoredImage[] {
    return [...new Set(this.images.values())].map((image) => ({ image, usedAtMs: 0, isLoaded: false }));
  }
  async remove(id: string, isUsed: (image: LocalImage) => boolean): Promise<boolean> {
    const names = [...this.images].flatMap(([name, image]) => (image.id === id ? [name] : []));
    if (names.some((name) => isUsed(this.images.get(name) as LocalImage))) return false;
    for (const name of names) this.images.delete(name);
    return names.length > 0;
  }
  async sweep(): Promise<void> {}
  async prepareRootfs(): Promise<string[]> {
    return [...this.lower];
  }
}
