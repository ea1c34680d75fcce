import { randomUUID } from "node:crypto";
import { closeSync } from "node:fs";
import type { Binding } from "./binding.ts";

/** A network namespace with its devices up, but nobody's yet. */
export interface PreparedNetns {
  /** The node's end of its device. */
  readonly link: string;
  /** A netlink socket in it, which alone holds it; whoever has it closes it. */
  readonly control: number;
}

export interface NetnsParent {
  readonly bridge: string;
  readonly mtu: number;
}

/**
 * Network namespaces made before they are needed. Nothing but this process holds them: when it ends, in whatever way, the kernel
 * takes them away with their devices.
 */
export class NetnsPool {
  readonly #binding: Binding;
  readonly #size: number;
  readonly #ready: PreparedNetns[] = [];
  #parent: NetnsParent | undefined;
  #filling: Promise<void> | undefined;

  constructor(settings: { readonly binding: Binding; readonly size: number }) {
    this.#binding = settings.binding;
    this.#size = settings.size;
  }

  /** To be called before anything else, and whenever bridge or MTU may have changed: what fits no longer is dropped. */
  async open(parent: NetnsParent): Promise<void> {
    const before = this.#parent;
    if (before && (before.bridge !== parent.bridge || before.mtu !== parent.mtu)) await this.close();
    this.#parent = parent;
    this.#fill();
  }

  /** A prepared one, or one made now. The caller closes its socket. */
  async take(parent: NetnsParent): Promise<PreparedNetns> {
    const prepared = this.#ready.shift();
    this.#fill();
    return prepared ?? (await this.#prepare(parent));
  }

  /** Drops what is prepared, and prepares no more. */
  async close(): Promise<void> {
    this.#parent = undefined;
    await this.#filling;
    for (const { control } of this.#ready.splice(0)) closeSync(control);
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
    const control: [number] = [-1];
    await this.#binding.netnsPrepare(parent.bridge, link, parent.mtu, control);
    return { link, control: control[0] };
  }
}
