import { TesseraError } from "@tessera/proto";

/** An image name taken apart; `domain` and `tag` are filled in as docker does. */
export interface ImageReference {
  /** Registry host, with port: "docker.io". */
  readonly domain: string;
  /** Path below the host: "library/busybox". */
  readonly path: string;
  /** Absent when only a digest is given. */
  readonly tag?: string;
  /** "sha256:..." */
  readonly digest?: string;
}

const pathPattern = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;
const domainPattern = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?$/;

/**
 * Parses an image name by the grammar of the distribution project's reference package: "busybox" means
 * docker.io/library/busybox:latest, a first component with a dot, a colon or "localhost" is a registry.
 * Throws TesseraError "Invalid", which a pod shows as InvalidImageName.
 */
export function parseReference(text: string): ImageReference {
  const invalid = (why: string) => new TesseraError("Invalid", `couldn't parse image name "${text}": ${why}`);
  if (text.length > 512) throw invalid("longer than 512 characters");
  const [beforeDigest = "", digest, ...rest] = text.split("@");
  if (rest.length > 0) throw invalid('more than one "@"');
  if (digest !== undefined && !digestPattern.test(digest)) throw invalid(`"${digest}" is not a digest such as sha256:<64 hex digits>`);

  const slash = beforeDigest.indexOf("/");
  const first = slash < 0 ? "" : beforeDigest.slice(0, slash);
  const namesRegistry = first.includes(".") || first.includes(":") || first === "localhost";
  const domain = namesRegistry ? first : "docker.io";
  let path = namesRegistry ? beforeDigest.slice(slash + 1) : beforeDigest;
  if (!domainPattern.test(domain)) throw invalid(`"${domain}" is not a registry host`);

  let tag: string | undefined;
  const colon = path.indexOf(":");
  if (colon >= 0) {
    tag = path.slice(colon + 1);
    path = path.slice(0, colon);
    if (!tagPattern.test(tag)) throw invalid(`"${tag}" is not a tag`);
  }
  if (path === "") throw invalid("the name is empty");
  if (path !== path.toLowerCase()) throw invalid("the name must be lower case");
  if (!pathPattern.test(path)) throw invalid(`"${path}" is not a repository path`);
  if (domain === "docker.io" && !path.includes("/")) path = `library/${path}`;
  if (tag === undefined && digest === undefined) tag = "latest";
  return { domain, path, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

/** The canonical spelling: "docker.io/library/busybox:latest". */
export function formatReference(reference: ImageReference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${reference.domain}/${reference.path}${tag}${digest}`;
}
