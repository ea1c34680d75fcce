import { ServerCredentials } from "@grpc/grpc-js";

/** PEM. */
export interface ServerTls {
  /** What the certificates of clients are checked against. */
  readonly ca: string | Buffer;
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

/** Mutual TLS for a gRPC server whose certificate can be replaced while it listens; connections that stand stay as they are. */
export class RenewableCredentials extends ServerCredentials {
  constructor(tls: ServerTls) {
    super({ requestCert: true, rejectUnauthorized: true }, toContext(tls));
  }

  renew(tls: ServerTls): void {
    this.updateSecureContextOptions(toContext(tls));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

function toContext({ ca, cert, key }: ServerTls) {
  return { ca, cert, key };
}
