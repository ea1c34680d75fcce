import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { TestPki } from "./certificates.ts";

export interface TokenRequest {
  readonly method: string;
  readonly query: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
}

/** Gives tokens that docker-registry believes to whoever knows the password, by GET and by OAuth2 POST. */
export class TokenServer {
  readonly requests: TokenRequest[] = [];
  readonly #pki: TestPki;
  readonly #server: Server;
  /** Seconds that a token is good for. */
  lifetime = 60;

  constructor(pki: TestPki) {
    this.#pki = pki;
    this.#server = createServer((incoming, outgoing) => {
      this.#answer(incoming).then(
        (token) =>
          outgoing.writeHead(token === undefined ? 401 : 200, { "content-type": "application/json" }).end(JSON.stringify({ token })),
        (error: unknown) => outgoing.destroy(error as Error),
      );
    });
  }

  async start(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  get realm(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/token`;
  }

  async #answer(incoming: IncomingMessage): Promise<string | undefined> {
    const url = new URL(incoming.url ?? "", "http://localhost");
    const form = incoming.method === "POST" ? new URLSearchParams(await text(incoming)) : url.searchParams;
    const query = Object.fromEntries(form);
    const { authorization } = incoming.headers;
    this.requests.push({ method: incoming.method ?? "", query, authorization });
    const isKnown = authorization === `Basic ${Buffer.from("user:hunter2").toString("base64")}` || query["refresh_token"] === "refresh-me";
    const [kind, name, actions] = (query["scope"] ?? "").split(":");
    return isKnown ? this.#sign({ type: kind, name, actions: actions?.split(",") }, query["service"] ?? "") : undefined;
  }

  #sign(access: object, service: string): string {
    const certificate = new X509Certificate(readFileSync(this.#pki.certificate));
    const now = Math.floor(Date.now() / 1000);
    const header = { typ: "JWT", alg: "ES256", x5c: [certificate.raw.toString("base64")] };
    const claims = {
      iss: "test",
      sub: "user",
      aud: service,
      iat: now,
      nbf: now - 5,
      exp: now + this.lifetime,
      jti: String(now),
      access: [access],
    };
    const body = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
    const key = { key: createPrivateKey(readFileSync(this.#pki.key)), dsaEncoding: "ieee-p1363" as const };
    return `${body}.${sign("sha256", Buffer.from(body), key).toString("base64url")}`;
  }
}
