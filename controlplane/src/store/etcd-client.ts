/** How to reach an etcd cluster. */
export interface EtcdEndpoints {
  /** "https://127.0.0.1:2379"; with several, one is used and the next is taken when it does not answer. */
  readonly endpoints: readonly string[];
  /** PEM bytes; required for https endpoints. */
  readonly tls?: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };
  /** Deadline of one call, default 5,000. */
  readonly callTimeoutMs?: number;
}

/** Connections to etcd: the only module that imports etcd3. Nothing is dialled before the first call. */
export class EtcdClient {
  readonly endpoints: EtcdEndpoints;
  constructor(endpoints: EtcdEndpoints) {
    this.endpoints = endpoints;
  }
  close(): void {}
}
