import { createHash, X509Certificate } from "node:crypto";
import { type Node, type Secret, TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import type { CertificateAuthority } from "../auth/certificate-authority.ts";
import { nodeCertificate } from "../auth/node-certificate.ts";
import { checkDnsSubdomain } from "../registry/names.ts";
import type { Resource } from "../registry/resource.ts";
import {
  type BootstrapToken,
  bootstrapTokenNamespace,
  hasSecret,
  isInTime,
  parseToken,
  readBootstrapToken,
  type TokenUse,
  tokenSecretName,
  withUse,
} from "./bootstrap-token.ts";

export interface NodeJoinDependencies {
  readonly secrets: Resource<Secret>;
  readonly nodes: Resource<Node>;
  /** Whether an agent of that name has a session. */
  readonly isConnected: (nodeName: string) => boolean;
  readonly authority: CertificateAuthority;
  /** How long a node's certificate is valid. */
  readonly lifetimeMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Logger;
}

export interface JoinRequest {
  readonly token: string;
  readonly nodeName: string;
  /** PEM, PKCS#10. */
  readonly signingRequest: string;
}

/** A node that got its certificate says Hello soon after; until then its name is kept for it. */
const reservationMs = 60_000;

/**
 * Lets machines into the cluster: for a token they get a certificate in the name of a node. Whoever has no valid token learns nothing, not even why it is
 * not valid. A request may be repeated: the key in it says that it is the same machine that asks again.
 */
export class NodeJoin {
  readonly #deps: NodeJoinDependencies;
  readonly #reserved = new Map<string, { readonly keyDigest: string; readonly untilMs: number }>();

  constructor(deps: NodeJoinDependencies) {
    this.#deps = deps;
  }

  /**
   * The certificate (PEM). Throws TesseraError "Unauthorized" for a token that is not valid, "Forbidden" for one that was used or is another node's,
   * "AlreadyExists" for a name that is taken, "BadRequest" for a name or signing request that is none.
   */
  async admit({ token, nodeName, signingRequest }: JoinRequest): Promise<string> {
    const { authority, lifetimeMs, log } = this.#deps;
    await this.#change(token, () => undefined);
    const fault = checkDnsSubdomain(nodeName);
    if (fault !== undefined) throw new TesseraError("BadRequest", `the node's name ${JSON.stringify(nodeName)} is not valid: ${fault}`);
    const certificate = await authority.sign(signingRequest, { ...nodeCertificate(nodeName), lifetimeMs });
    const use: TokenUse = { nodeName, keyDigest: publicKeyDigest(certificate) };
    await this.#change(token, (secret, known) => {
      this.#checkUse(known, use);
      return known.isSingleUse && known.usedBy === undefined ? withUse(secret, use) : undefined;
    });
    this.#reserved.set(nodeName, { keyDigest: use.keyDigest, untilMs: this.#deps.now() + reservationMs });
    log.info({ node: nodeName, token: parseToken(token)?.id }, "a node joins");
    return certificate;
  }

  /** Runs `change` on the newest state of the token's Secret, once it is known that the caller has the token. */
  async #change(text: string, change: (secret: Secret, token: BootstrapToken) => Secret | undefined): Promise<void> {
    const given = parseToken(text);
    const notValid = () =>
      new TesseraError(
        "Unauthorized",
        "the join token is not valid: it is wrong or has expired; make a new one with: tsctl join-token create",
      );
    if (given === undefined) throw notValid();
    try {
      await this.#deps.secrets.mutate(bootstrapTokenNamespace, tokenSecretName(given.id), (secret) => {
        const known = readBootstrapToken(secret);
        if (!hasSecret(known, given.secret) || !known?.allowsAuthentication || !isInTime(known, this.#deps.now())) throw notValid();
        return change(secret, known);
      });
    } catch (error) {
      if (!(error instanceof TesseraError && error.reason === "NotFound")) throw error;
      hasSecret(undefined, given.secret);
      throw notValid();
    }
  }

  #checkUse(token: BootstrapToken, use: TokenUse): void {
    const { nodeName } = use;
    if (token.nodeName !== undefined && token.nodeName !== nodeName) {
      throw new TesseraError("Forbidden", `the join token is for node "${token.nodeName}", not for "${nodeName}"`);
    }
    const isSame = token.usedBy?.nodeName === nodeName && token.usedBy.keyDigest === use.keyDigest;
    if (token.isSingleUse && token.usedBy !== undefined && !isSame) {
      const again = "make another one with: tsctl join-token create";
      throw new TesseraError("Forbidden", `the join token was used: node "${token.usedBy.nodeName}" has joined with it; ${again}`);
    }
    this.#checkName(token, use);
  }

  #checkName(token: BootstrapToken, { nodeName, keyDigest }: TokenUse): void {
    const { nodes, isConnected, now } = this.#deps;
    const taken = (what: string) => new TesseraError("AlreadyExists", what);
    const reserved = this.#reserved.get(nodeName);
    if (reserved !== undefined && reserved.untilMs <= now()) this.#reserved.delete(nodeName);
    else if (reserved?.keyDigest === keyDigest) return;
    else if (reserved !== undefined) {
      throw taken(
        `a machine has joined as node "${nodeName}" less than a minute ago, with another key: choose another name with --node-name, or, if it was this machine, try again in a minute`,
      );
    }
    if (isConnected(nodeName)) throw taken(`node "${nodeName}" exists and is connected: choose another name with --node-name`);
    if (nodes.cache.get("", nodeName) === undefined || token.nodeName === nodeName) return;
    const ways = `make a token for it (tsctl join-token create --node ${nodeName}) or delete the node first (tsctl delete node ${nodeName})`;
    throw taken(
      `node "${nodeName}" exists, without a connection: choose another name with --node-name, or, if this machine replaces it, ${ways}`,
    );
  }
}

function publicKeyDigest(certificatePem: string): string {
  const spki = new X509Certificate(certificatePem).publicKey.export({ type: "spki", format: "der" });
  return `sha256:${createHash("sha256").update(spki).digest("hex")}`;
}
