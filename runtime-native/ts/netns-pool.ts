import { randomUUID } from "node:crypto";
import { closeSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Binding } from "./binding.ts";

/** A network namespace with its devices up, but nobody's yet. */
export interface PreparedNetns {
  /** Where it is held. */
  readonly path: string;
  /** The node's end of its device. */
  readonly link: string;
  /** A netlink socket in it, which whoever has the namespace closes: it would keep it alive. */
  readonly control: number;
}

export interface NetnsParent {
  readonly bridge: string;
  readonly mtu: number;
}

/**
 * Network namespaces made before they are needed. They are held in a folder of their own, so that a later agent knows
 * what an earlier one left unused, and drops it: nothing else may hold them.
 */
export class NetnsPool {
  readonly #binding: Binding;
  readonly #folder: string;
  readonly #size: number;
  readonly #ready: PreparedNetns[] = [];
  #parent: NetnsParent | undefined;
  #filling: Promise<void> | undefined;
  #emptied = false;

  constructor(settings: { readonly binding: Binding; readonly folder: string; readonly size: number }) {
    this.#binding = settings.binding;
    this.#folder = settings.folder;
    this.#size = settings.size;
  }

  /** To be called before anything else, and whenever bridge or MTU may have changed: what fits no longer is dropped. */
  async open(parent: NetnsParent): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    if (!this.#emptied) {
      for (const name of await readdir(this.#folder)) await this.#binding.netnsRelease(join(this.#folder, name));
      this.#emptied = true;
    }
    const before = this.#parent;
    if (before && (before.bridge !== parent.bridge || before.mtu !== parent.mtu)) await this.close();
    this.#parent = parent;
    this.#fill();
  }

  /** A prepared one, or one made now. The caller closes its socket, and releases its path or hands it on. */
  async take(parent: NetnsParent): Promise<PreparedNetns> {
    const prepared = this.#ready.shift();
    this.#fill();
    return prepared ?? (await this.#prepare(parent));
  }

  /** Drops what is prepared, and prepares no more. */
  async close(): Promise<void> {
    this.#parent = undefined;
    await this.#filling;
    for (const { path, control } of this.#ready.splice(0)) {
      closeSync(control);
      await this.#binding.netnsRelease(path);
    }
  }

  #fill(): void {
    if (this.#filling || this.#ready.length >= this.#size) return;
    // One after the other: whoever needs one now shall not wait for the pool.
    this.#filling = (async () => {
      for (let parent = this.#parent; parent && this.#ready.length < this.#size; parent = this.#parent)
        this.#ready.push(await this.#prepare(parent));
    })()
      // Nobody waits for this one. Who needs a namespace makes it himself then, and sees the reason.
      .catch(() => {})
      .finally(() => {
        this.#filling = undefined;
      });
  }

  async #prepare(parent: NetnsParent): Promise<PreparedNetns> {
    const [first, second] = randomUUID().split("-");
    const link = `tsv${first}${second}`;
    const path = join(this.#folder, link);
    const control: [number] = [-1];
    await this.#binding.netnsPrepare(path, parent.bridge, link, parent.mtu, control);
    return { path, link, control: control[0] };
  }
}
