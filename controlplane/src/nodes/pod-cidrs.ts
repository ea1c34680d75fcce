import { type Node, TesseraError } from "@tessera/proto";
import type { Clock } from "../controllers/clock.ts";
import type { ResourceCache } from "../store/cache.ts";
import type { Store } from "../store/store.ts";

/** Outside of /registry/: claims are no API objects, nobody watches them. */
const PREFIX = "/tessera/pod-cidrs/";
const PAGE = 1_000;
/** A claim whose Node does not exist may be given to another node only when nobody has used it for so long. */
const UNUSED_AFTER_MS = 10 * 60_000;

interface Claim {
  readonly node: string;
  readonly usedAtMs: number;
  readonly revision: number;
}

export interface PodCidrsDependencies {
  readonly store: Store;
  readonly nodes: ResourceCache<Node>;
  readonly clock: Clock;
  readonly clusterCidr: string;
  readonly nodeCidrBits: number;
}

/**
 * Gives each node its block of pod addresses. A block is claimed by creating a key in the store, so two control planes cannot give away the same
 * one. A node keeps its claim beyond its Node object, so that one that registers again finds its addresses; claims without a Node are reused only when
 * no free block is left. Nothing has to be released, so nothing can leak.
 */
export class PodCidrs {
  readonly #deps: PodCidrsDependencies;
  readonly #blocks: Blocks;
  /** By block; what the store held when it was read last, and what was written since. */
  #claims: Map<string, Claim> | undefined;
  /** Allocations run one after the other. */
  #tail: Promise<unknown> = Promise.resolve();
  constructor(deps: PodCidrsDependencies) {
    this.#deps = deps;
    this.#blocks = new Blocks(deps.clusterCidr, deps.nodeCidrBits);
  }

  /** The node's block, claimed for it. Throws TesseraError "ServiceUnavailable" when all are taken, "Conflict" when its own is another node's. */
  claim(node: string, current: string | undefined): Promise<string> {
    const turn = this.#tail.then(() => (current ? this.#confirm(node, current) : this.#allocate(node)));
    this.#tail = turn.catch(() => {});
    return turn;
  }

  /** The Node has a block already: nobody else may get it. */
  async #confirm(node: string, block: string): Promise<string> {
    const known = (await this.#load()).get(block);
    if (known?.node === node) return block;
    if (known) throw new TesseraError("Conflict", `the pod addresses ${block} of node "${node}" belong to node "${known.node}"`);
    if (await this.#create(node, block)) return block;
    return this.#confirm(node, block);
  }

  async #allocate(node: string): Promise<string> {
    for (;;) {
      const claims = await this.#load();
      const own = [...claims].find(([block, claim]) => claim.node === node && this.#blocks.has(block));
      if (own) {
        if (await this.#touch(node, ...own)) return own[0];
        continue;
      }
      const taken = new Set([...this.#deps.nodes.list()].map((cached) => cached.value.spec?.podCIDR));
      const free = this.#blocks.find((block) => !claims.has(block) && !taken.has(block));
      if (free !== undefined) {
        if (await this.#create(node, free)) return free;
        continue;
      }
      const unused = [...claims].find(([block, claim]) => this.#blocks.has(block) && this.#isUnused(claim));
      if (!unused) {
        const { clusterCidr, nodeCidrBits } = this.#deps;
        const message = `no pod addresses are left for node "${node}": all ${this.#blocks.count} blocks of /${nodeCidrBits} in ${clusterCidr} are taken`;
        throw new TesseraError("ServiceUnavailable", message);
      }
      await this.#drop(...unused);
    }
  }

  #isUnused(claim: Claim): boolean {
    return this.#deps.clock.now() - claim.usedAtMs > UNUSED_AFTER_MS && !this.#deps.nodes.get("", claim.node);
  }

  /** Marks a claim as used before its Node is made: whoever wanted to reuse it must see that it changed. */
  async #touch(node: string, block: string, claim: Claim): Promise<boolean> {
    return this.#write(block, node, (value) => this.#deps.store.update(keyOf(block), value, claim.revision));
  }

  async #create(node: string, block: string): Promise<boolean> {
    return this.#write(block, node, (value) => this.#deps.store.create(keyOf(block), value));
  }

  /** False: somebody else was faster, and what was known is out of date. */
  async #write(block: string, node: string, write: (value: Buffer) => Promise<number>): Promise<boolean> {
    const usedAtMs = this.#deps.clock.now();
    try {
      const revision = await write(Buffer.from(JSON.stringify({ node, usedAt: new Date(usedAtMs).toISOString() })));
      this.#claims?.set(block, { node, usedAtMs, revision });
      return true;
    } catch (error) {
      return this.#forgetIfRaced(error);
    }
  }

  async #drop(block: string, claim: Claim): Promise<void> {
    try {
      await this.#deps.store.remove(keyOf(block), claim.revision);
      this.#claims?.delete(block);
    } catch (error) {
      this.#forgetIfRaced(error);
    }
  }

  #forgetIfRaced(error: unknown): false {
    // After any error: what the store holds is to be read again.
    this.#claims = undefined;
    if (error instanceof TesseraError && ["AlreadyExists", "Conflict", "NotFound"].includes(error.reason)) return false;
    throw error;
  }

  async #load(): Promise<Map<string, Claim>> {
    if (this.#claims) return this.#claims;
    const claims = new Map<string, Claim>();
    let fromKey: string | undefined;
    let revision = 0;
    do {
      const page = await this.#deps.store.readPage(PREFIX, { limit: PAGE, revision, ...(fromKey === undefined ? {} : { fromKey }) });
      for (const item of page.items) {
        const claim = parseClaim(item.value, item.revision);
        if (claim) claims.set(blockOf(item.key), claim);
      }
      fromKey = page.nextKey;
      revision = page.revision;
    } while (fromKey !== undefined);
    this.#claims = claims;
    return claims;
  }
}

/** The blocks of one length within an IPv4 range, in order. */
class Blocks {
  readonly count: number;
  readonly #first: number;
  readonly #bits: number;
  constructor(clusterCidr: string, bits: number) {
    const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(clusterCidr);
    const [, a, b, c, d, prefix] = (match ?? []).map(Number);
    const isRange = [a, b, c, d].every((octet) => octet !== undefined && octet <= 255) && prefix !== undefined && prefix <= 32;
    if (!isRange || bits < prefix || bits > 30) {
      throw new TesseraError(
        "Invalid",
        `cannot take blocks of /${bits} from ${JSON.stringify(clusterCidr)}: wanted an IPv4 range such as 10.64.0.0/16 and a length between its own and 30`,
      );
    }
    const address = (a ?? 0) * 2 ** 24 + (b ?? 0) * 2 ** 16 + (c ?? 0) * 2 ** 8 + (d ?? 0);
    this.#first = address - (address % 2 ** (32 - prefix));
    this.#bits = bits;
    this.count = 2 ** (bits - prefix);
  }

  find(test: (block: string) => boolean): string | undefined {
    for (let i = 0; i < this.count; i++) {
      const block = this.#nameOf(i);
      if (test(block)) return block;
    }
    return undefined;
  }

  /** False for blocks of a range that the cluster had once. */
  has(block: string): boolean {
    const octets = block.split("/")[0]?.split(".").map(Number) ?? [];
    const address = octets.reduce((sum, octet) => sum * 256 + octet, 0);
    const i = (address - this.#first) / 2 ** (32 - this.#bits);
    return i >= 0 && i < this.count && this.#nameOf(i) === block;
  }

  #nameOf(i: number): string {
    const address = this.#first + i * 2 ** (32 - this.#bits);
    const octets = [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256);
    return `${octets.join(".")}/${this.#bits}`;
  }
}

function keyOf(block: string): string {
  return `${PREFIX}${block.replace("/", "-")}`;
}

function blockOf(key: string): string {
  return key.slice(PREFIX.length).replace("-", "/");
}

function parseClaim(value: Buffer, revision: number): Claim | undefined {
  const parsed = JSON.parse(value.toString()) as { node?: unknown; usedAt?: unknown };
  if (typeof parsed.node !== "string") return undefined;
  return { node: parsed.node, usedAtMs: Date.parse(String(parsed.usedAt)) || 0, revision };
}
