/**
 * How values lie in etcd: what the store passes a value through on its way in, and the store and the watch cache on its way out. Everything beyond
 * that edge (lists, watches, compare-and-swap, the registry) knows plain values only.
 */
export interface ValueSealing {
  /** What is to be written for `value` at `key`. Two calls may give different bytes. Throws TesseraError when nothing may be written now. */
  seal(key: string, value: Buffer): Buffer;
  /** The value that was written. Throws TesseraError "InternalError", which names the key, for what cannot be read. */
  unseal(key: string, stored: Buffer): Buffer;
}

/** Values lie in etcd as they are. */
export const plainValues: ValueSealing = {
  seal: (_key, value) => value,
  unseal: (_key, stored) => stored,
};
