import { TesseraError } from "@tessera/proto";
import { type Descriptor, digestOf, MAX_METADATA_BYTES, manifestTypes } from "./manifest.ts";
import { formatReference } from "./reference.ts";
import { RegistryAuth, type RegistryAuthParts } from "./registry-auth.ts";
import { type RegistryResponse, readBody, registryHost } from "./registry-http.ts";

export interface FetchedManifest {
  readonly bytes: Buffer;
  /** Of the bytes: "sha256:...". */
  readonly digest: string;
  /** As the registry says; the document may say it too. */
  readonly mediaType: string;
}

export interface BlobStream {
  readonly body: AsyncIterable<Buffer>;
  /** Place of the first byte; 0 when the registry cannot begin in the middle. */
  readonly start: number;
  readonly url: URL;
}

/** Reads one repository by the OCI distribution API v1.1, end-2 and end-3. */
export class RegistryClient {
  readonly #parts: RegistryAuthParts;
  readonly #auth: RegistryAuth;

  constructor(parts: RegistryAuthParts) {
    this.#parts = parts;
    this.#auth = new RegistryAuth(parts);
  }

  /** Whether the answers came to the credentials, and not to whoever asks. */
  get isAuthenticated(): boolean {
    return this.#auth.isAuthenticated;
  }

  /** Whether the registry has it for us. Throws as `manifest` does, but not for what is not found. */
  async hasManifest(tagOrDigest: string, signal: AbortSignal): Promise<boolean> {
    const response = await this.#ask("HEAD", `manifests/${tagOrDigest}`, { accept: manifestTypes.join(", ") }, signal);
    if (response.status !== 200 && response.status !== 404) throw await this.#refusal(response, `manifest for ${this.#name()}`);
    response.body.resume();
    return response.status === 200;
  }

  /** A manifest or index by tag or digest. The bytes are verified against a digest; without one, against the registry's own word. */
  async manifest(tagOrDigest: string, signal: AbortSignal): Promise<FetchedManifest> {
    const headers = { accept: manifestTypes.join(", ") };
    const response = await this.#ask("GET", `manifests/${tagOrDigest}`, headers, signal);
    if (response.status !== 200) throw await this.#refusal(response, `manifest for ${this.#name()}`);
    const bytes = await readBody(response, MAX_METADATA_BYTES, `the manifest for ${this.#name()}`);
    const digest = digestOf(bytes);
    const said = tagOrDigest.startsWith("sha256:") ? tagOrDigest : response.headers["docker-content-digest"];
    if (typeof said === "string" && said.startsWith("sha256:") && said !== digest)
      throw new TesseraError(
        "Invalid",
        `digest mismatch for the manifest of ${this.#name()}: wanted ${said}, ${response.url.host} sent ${digest}`,
      );
    return { bytes, digest, mediaType: (response.headers["content-type"] ?? "").split(";")[0]?.trim() ?? "" };
  }

  /** A blob from byte `offset` on where the registry can, otherwise from its beginning. */
  async blob({ digest, size }: Descriptor, offset: number, signal: AbortSignal): Promise<BlobStream> {
    const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
    const response = await this.#ask("GET", `blobs/${digest}`, headers, signal);
    const { status, body, url } = response;
    const range = /^bytes ([0-9]+)-[0-9]+\/(?:([0-9]+)|\*)$/.exec(response.headers["content-range"] ?? "");
    if (status === 206 && Number(range?.[1]) === offset) return { body, start: offset, url };
    if (status !== 200) throw await this.#refusal(response, `blob ${digest} of ${this.#name()}`);
    const length = response.headers["content-length"];
    if (length !== undefined && Number(length) !== size) {
      body.destroy();
      throw new TesseraError(
        "Invalid",
        `blob ${digest} of ${this.#name()} is ${length} bytes long at ${url.host}, ${size} by its manifest`,
      );
    }
    return { body, start: 0, url };
  }

  /** Asks once more with what the registry wants to see, also in the middle of a pull, when a token has run out. */
  async #ask(
    method: "GET" | "HEAD",
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<RegistryResponse> {
    const { http, reference } = this.#parts;
    const ask = () =>
      http.askRegistry(reference.domain, `/v2/${reference.path}/${path}`, {
        method,
        headers: { ...headers, ...this.#auth.headers() },
        signal,
      });
    const response = await ask();
    if (response.status !== 401) return response;
    let answered: boolean;
    try {
      answered = await this.#auth.answer(response, signal);
    } catch (error) {
      response.body.destroy();
      if (!(error instanceof TesseraError) || error.reason !== "Unauthorized") throw error;
      throw denied(this.#name(), "Unauthorized", error.message);
    }
    if (!answered) return response;
    response.body.destroy();
    return await ask();
  }

  /** Why an answer is not what was asked for, in the words that users of Kubernetes know. */
  async #refusal(response: RegistryResponse, what: string): Promise<TesseraError> {
    const host = registryHost(this.#parts.reference.domain);
    const said = await readErrors(response);
    const because = said === "" ? "" : `: ${said}`;
    switch (response.status) {
      case 401:
        return denied(
          this.#name(),
          "Unauthorized",
          `${host} wants ${this.#parts.credentials === undefined ? "" : "other "}credentials${because}`,
        );
      case 403:
        return denied(this.#name(), "Forbidden", `${host} refuses${because}`);
      case 404:
        return new TesseraError("NotFound", `${what} not found in ${host}${because}`);
      case 429:
        return new TesseraError("TooManyRequests", `${host} limits how much is pulled from it${because}`);
      default:
        return new TesseraError(
          response.status >= 500 ? "ServiceUnavailable" : "BadRequest",
          `${what}: ${host} answered ${response.status}${because}`,
        );
    }
  }

  #name(): string {
    return formatReference(this.#parts.reference);
  }
}

function denied(name: string, reason: "Unauthorized" | "Forbidden", why: string): TesseraError {
  return new TesseraError(reason, `pull access denied for ${name}: it does not exist or needs a login in imagePullSecrets; ${why}`);
}

/** The messages in a registry's error document, on one line; "" when it has none. */
async function readErrors(response: RegistryResponse): Promise<string> {
  // What stands in the way of reading the reason must not take its place.
  const body = await readBody(response, 64 << 10, "the answer").catch(() => Buffer.alloc(0));
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    return "";
  }
  const errors = (value as { errors?: unknown } | null)?.errors;
  if (!Array.isArray(errors)) return "";
  const texts = errors.slice(0, 3).map((error: { code?: unknown; message?: unknown } | null) => error?.message ?? error?.code);
  return printable(texts.filter((text) => typeof text === "string").join("; "));
}

/** A stranger's text in our log and statuses. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, " ").slice(0, 300);
}
