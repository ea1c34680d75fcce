import { TesseraError } from "@tessera/proto";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { RegistryCredentials } from "./credentials.ts";
import type { ImageReference } from "./reference.ts";
import { type RegistryHttp, type RegistryResponse, readBody } from "./registry-http.ts";

export interface RegistryAuthParts {
  readonly http: RegistryHttp;
  readonly reference: ImageReference;
  /** Absent: as nobody in particular. */
  readonly credentials?: RegistryCredentials;
}

/** The right to read one repository, obtained when the registry asks for it. */
export class RegistryAuth {
  readonly #parts: RegistryAuthParts;
  #header: string | undefined;

  constructor(parts: RegistryAuthParts) {
    this.#parts = parts;
  }

  /** Headers for the next request. */
  headers(): Readonly<Record<string, string>> {
    return this.#header === undefined ? {} : { authorization: this.#header };
  }

  /** Whether the registry has wanted to know who we are, and we could say. */
  get isAuthenticated(): boolean {
    return this.#header !== undefined && this.#parts.credentials !== undefined;
  }

  /**
   * Takes up what a 401 offers. False when nothing can be done about it: nothing known is offered, or there are no credentials.
   * Throws TesseraError "Unauthorized" when the token server refuses.
   */
  async answer(response: RegistryResponse, signal: AbortSignal): Promise<boolean> {
    const offered = parseChallenges(response.headers["www-authenticate"] ?? "");
    const bearer = offered.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined) {
      this.#header = `Bearer ${await this.#fetchToken(bearer, response.url, signal)}`;
      return true;
    }
    const basic = basicAuth(this.#parts.credentials);
    if (basic === undefined || basic === this.#header || !offered.some(({ scheme }) => scheme === "basic")) return false;
    this.#header = basic;
    return true;
  }

  /** The token protocol of the distribution project: GET with Basic, or OAuth2 POST when there is a refresh token. */
  async #fetchToken({ parameters }: Challenge, registry: URL, signal: AbortSignal): Promise<string> {
    const { http, reference, credentials } = this.#parts;
    const url = this.#realm(parameters.get("realm") ?? "", registry);
    const service = parameters.get("service");
    const scope = parameters.get("scope") ?? `repository:${reference.path}:pull`;
    const form = new URLSearchParams({ ...(service !== undefined && { service }), scope });
    let response: RegistryResponse;
    if (credentials?.identityToken === undefined) {
      for (const [name, value] of form) url.searchParams.append(name, value);
      const authorization = basicAuth(credentials);
      response = await http.ask(url, { headers: { ...(authorization !== undefined && { authorization }) }, signal });
    } else {
      form.set("grant_type", "refresh_token");
      form.set("client_id", "tessera");
      form.set("refresh_token", credentials.identityToken);
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      response = await http.ask(url, { method: "POST", headers, body: form.toString(), signal });
    }
    const body = await readBody(response, 1 << 20, `the answer of token server ${url.host}`);
    if (response.status >= 500 || response.status === 429)
      throw new TesseraError("ServiceUnavailable", `token server ${url.host} of registry ${registry.host} answered ${response.status}`);
    if (response.status !== 200)
      throw new TesseraError(
        "Unauthorized",
        `token server ${url.host} refuses a token (${response.status})${credentials === undefined ? " without credentials" : ` to user "${credentials.username}"`}`,
      );
    return parseToken(body, url.host);
  }

  /** Where tokens are given. Credentials travel there, so it is held to what the registry itself is held to. */
  #realm(realm: string, registry: URL): URL {
    const url = URL.parse(realm);
    const isSafe =
      url?.protocol === "https:" || (url?.protocol === "http:" && this.#parts.http.mayBePlain(url.host) && registry.protocol === "http:");
    if (url === null || !isSafe)
      throw new TesseraError(
        "ServiceUnavailable",
        `registry ${registry.host} sends to "${realm.slice(0, 200)}" for a token, which is no safe address`,
      );
    return url;
  }
}

function basicAuth(credentials: RegistryCredentials | undefined): string | undefined {
  if (credentials === undefined || credentials.username === "") return undefined;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

function parseToken(body: Buffer, host: string): string {
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    // The parser's own error quotes what it read, which may be secret.
    throw new TesseraError("ServiceUnavailable", `token server ${host} answered with something other than JSON`);
  }
  const { token, access_token: accessToken } = (value ?? {}) as { token?: unknown; access_token?: unknown };
  for (const found of [token, accessToken]) if (typeof found === "string" && /^[\x21-\x7e]+$/.test(found)) return found;
  throw new TesseraError("ServiceUnavailable", `token server ${host} answered without a token`);
}
