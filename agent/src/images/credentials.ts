/**
 * What Secrets named in imagePullSecrets say, and which of it is meant for an image. Keys and their matching are Kubernetes':
 * "host", "host/path" or "https://host/v1/", "*" for any one part of the host name; the longest match comes first.
 */
import { type Secret, TesseraError } from "@tessera/proto";
import type { ImageReference } from "./reference.ts";

export interface RegistryCredentials {
  /** The images that it is for: "registry.example:5000/team", host lower-case, path without slashes at its ends. */
  readonly scope: string;
  readonly username: string;
  readonly password: string;
  /** An OAuth2 refresh token that takes the place of the password, as `docker login` leaves for some registries. */
  readonly identityToken?: string;
}

/**
 * The credentials in a Secret of type kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg. Throws TesseraError "Invalid" that names
 * the Secret and never shows what is in it.
 */
export function parsePullSecret(secret: Secret): RegistryCredentials[] {
  const name = `secret "${secret.metadata?.namespace ?? ""}/${secret.metadata?.name ?? ""}"`;
  const config = secret.data?.[".dockerconfigjson"];
  const legacy = secret.data?.[".dockercfg"];
  if (config !== undefined) return parseAuths(record(parseJson(config, name), name)["auths"] ?? {}, name);
  if (legacy !== undefined) return parseAuths(parseJson(legacy, name), name);
  throw new TesseraError("Invalid", `${name} holds no registry credentials: neither .dockerconfigjson nor .dockercfg is in its data`);
}

/** Those that are meant for the image, best first. */
export function credentialsFor(
  all: readonly RegistryCredentials[],
  reference: Pick<ImageReference, "domain" | "path">,
): RegistryCredentials[] {
  const matching = all.filter(({ scope }) => covers(scope, reference));
  return matching.sort((a, b) => b.scope.length - a.scope.length);
}

function parseAuths(value: unknown, name: string): RegistryCredentials[] {
  return Object.entries(record(value, name)).flatMap(([key, entry]) => {
    const fields = record(entry, name);
    const scope = parseScope(key);
    const auth = text(fields["auth"], name);
    const login =
      auth === "" ? { username: text(fields["username"], name), password: text(fields["password"], name) } : decodeAuth(auth, name);
    const identityToken = text(fields["identitytoken"], name);
    // An entry without either is what `docker login` leaves when a credential helper has the rest.
    if (login.username === "" && login.password === "" && identityToken === "") return [];
    return [{ scope, ...login, ...(identityToken !== "" && { identityToken }) }];
  });
}

/** "https://host/v1/" is how Docker spelt registries at first. */
function parseScope(key: string): string {
  const [host = "", ...path] = key.replace(/^https?:\/\//, "").split("/");
  if (path[0] === "v1" || path[0] === "v2") path.shift();
  const rest = path.filter((part) => part !== "").join("/");
  return rest === "" ? toDomain(host) : `${toDomain(host)}/${rest}`;
}

/** Docker Hub goes by several names. */
function toDomain(host: string): string {
  const lower = host.toLowerCase();
  return lower === "index.docker.io" || lower === "registry-1.docker.io" ? "docker.io" : lower;
}

function covers(scope: string, { domain, path }: Pick<ImageReference, "domain" | "path">): boolean {
  const [host = "", ...scopePath] = scope.split("/");
  const imagePath = path.split("/");
  return coversHost(host, toDomain(domain)) && scopePath.every((part, i) => part === imagePath[i]);
}

function coversHost(pattern: string, host: string): boolean {
  const [patternName = "", patternPort = ""] = pattern.split(":");
  const [name = "", port = ""] = host.split(":");
  const patternParts = patternName.split(".");
  const parts = name.split(".");
  if (patternPort !== port || patternParts.length !== parts.length) return false;
  return patternParts.every((part, i) => coversPart(part, parts[i] ?? ""));
}

/** "*" stands for any characters within one part. */
function coversPart(pattern: string, part: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (rest.length === 0) return pattern === part;
  if (!part.startsWith(first)) return false;
  let at = first.length;
  const last = rest.pop() ?? "";
  for (const piece of rest) {
    const found = part.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return part.length - at >= last.length && part.endsWith(last);
}

function decodeAuth(auth: string, name: string): { username: string; password: string } {
  const decoded = Buffer.from(auth, "base64").toString("utf8").replace(/\0+$/, "");
  const colon = decoded.indexOf(":");
  if (colon < 0) throw new TesseraError("Invalid", `${name}: an auth is not the base64 form of "username:password"`);
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

function parseJson(base64: string, name: string): unknown {
  try {
    return JSON.parse(Buffer.from(base64, "base64").toString("utf8"));
  } catch {
    // The parser's own error quotes what it read, which is secret.
    throw new TesseraError("Invalid", `${name} holds registry credentials that are not JSON`);
  }
}

function record(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new TesseraError("Invalid", `${name} holds registry credentials of another form than {"auths":{"HOST":{"auth":"..."}}}`);
  return value as Record<string, unknown>;
}

function text(value: unknown, name: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") throw new TesseraError("Invalid", `${name} holds registry credentials with a field that is no text`);
  return value;
}
