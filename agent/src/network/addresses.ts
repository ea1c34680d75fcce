import { mkdir, readdir, readlink, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import { formatIpv4, type Ipv4Range, parseCidr } from "./cidr.ts";

/** The network's own address and the bridge's come first, the broadcast address last. */
const FIRST_POD_OFFSET = 2;
const RESERVED = 3;

/**
 * Which pod has which address of the node's range. One symbolic link per address names the pod's uid: making it is a single call that
 * succeeds for one owner only, so a crash leaves it whole or not at all. Start-up frees what no pod owns: nothing on disk can use the range
 * up for good.
 */
export class AddressPool {
  readonly #folder: string;
  readonly #owners = new Map<string, string>();
  readonly #addresses = new Map<string, string>();
  readonly #listeners = new Set<() => void>();
  #range: Ipv4Range | undefined;
  #next = FIRST_POD_OFFSET;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Reads what is taken, and frees what belongs to none of `owners`. To be called once, before anything else. */
  async load(owners: ReadonlySet<string>): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#folder)) {
      const owner = await readOwner(this.#folder, name);
      if (owner === undefined || !owners.has(owner)) await rm(join(this.#folder, name), { force: true });
      else this.#note(name, owner);
    }
  }

  /** Sets the range that new addresses come from; addresses of an earlier range stay with their pods. */
  setRange(cidr: string): void {
    if (this.#range?.text === cidr) return;
    this.#range = parseCidr(cidr);
    this.#next = FIRST_POD_OFFSET;
    for (const listener of this.#listeners) listener();
  }

  /** Called when an address may have become free. Returns a function that ends the subscription. */
  onFreed(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  addressOf(owner: string): string | undefined {
    return this.#addresses.get(owner);
  }

  /** The owner's address, a new one unless it has one. Throws TesseraError "ServiceUnavailable" when none is free or no range is known. */
  async allocate(owner: string): Promise<string> {
    const existing = this.#addresses.get(owner);
    if (existing !== undefined) return existing;
    const address = this.#pick();
    // Noted before the first wait, so that two pods never pick the same.
    this.#note(address, owner);
    try {
      await symlink(owner, join(this.#folder, address));
    } catch (error) {
      this.#forget(address, owner);
      throw new TesseraError("InternalError", `could not record address ${address} for pod ${owner}`, { cause: error });
    }
    return address;
  }

  /** Frees the owner's address. Right when it has none. */
  async release(owner: string): Promise<void> {
    const address = this.#addresses.get(owner);
    if (address === undefined) return;
    await rm(join(this.#folder, address), { force: true });
    this.#forget(address, owner);
    for (const listener of this.#listeners) listener();
  }

  /** Going round the range, so that an address rests as long as possible before it is given again. */
  #pick(): string {
    const range = this.#range;
    if (range === undefined)
      throw new TesseraError("ServiceUnavailable", "the control plane has not given this node a range of addresses yet");
    const count = range.size - RESERVED;
    for (let tries = 0; tries < count; tries += 1) {
      const address = formatIpv4(range.base + this.#next);
      this.#next = this.#next + 1 < range.size - 1 ? this.#next + 1 : FIRST_POD_OFFSET;
      if (!this.#owners.has(address)) return address;
    }
    throw new TesseraError("ServiceUnavailable", `no free address in ${range.text}: all ${count} are in use by pods of this node`);
  }

  #note(address: string, owner: string): void {
    this.#owners.set(address, owner);
    this.#addresses.set(owner, address);
  }

  #forget(address: string, owner: string): void {
    this.#owners.delete(address);
    this.#addresses.delete(owner);
  }
}

/** The uid of the pod that has the address; "" for what is no entry of the pool, undefined when it was freed meanwhile. */
export async function readOwner(folder: string, address: string): Promise<string | undefined> {
  return await readlink(join(folder, address)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    if (error.code === "EINVAL") return "";
    throw error;
  });
}
