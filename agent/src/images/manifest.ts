/**
 * Parsers of what archives and registries hold: OCI image index, manifest and configuration (image-spec v1.1), and
 * the manifest.json of `docker save`. Outside data is unknown until one of these returned a type.
 */
import { createHash } from "node:crypto";
import { TesseraError } from "@tessera/proto";
import type { ImageConfig } from "./image-store.ts";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant: string };
}

export interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

export interface DockerSaveEntry {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

export interface ImageConfiguration {
  readonly config: ImageConfig;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly string[];
  /** "linux/amd64", "" when it does not say. */
  readonly platform: string;
}

const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** Larger metadata is an attack, not an image. */
export const MAX_METADATA_BYTES = 4 << 20;
/** overlayfs takes no more lower folders. */
const MAX_LAYERS = 500;

const ociManifest = "application/vnd.oci.image.manifest.v1+json";
const ociIndex = "application/vnd.oci.image.index.v1+json";
const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json";

/** What a registry is asked for. */
export const manifestTypes: readonly string[] = [ociIndex, ociManifest, dockerList, dockerManifest];

const configTypes: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
]);

/** Layers of both worlds, also such as may not be passed on; how they are compressed their first bytes tell. */
const layerType =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?)$/;

/** JSON of at most MAX_METADATA_BYTES. */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  if (bytes.length > MAX_METADATA_BYTES) throw invalid(`${what} is ${bytes.length} bytes long; at most ${MAX_METADATA_BYTES} are read`);
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new TesseraError("Invalid", `${what} is not JSON`, { cause });
  }
}

export function parseIndex(value: unknown, what: string): Descriptor[] {
  return list(record(value, what)["manifests"], `${what}: manifests`).map((item, i) => parseDescriptor(item, `${what}: manifests[${i}]`));
}

/** Throws TesseraError "UnsupportedMediaType" for what is sound but no image of these times. */
export function parseManifest(value: unknown, what: string): Manifest {
  const manifest = record(value, what);
  if (manifest["schemaVersion"] === 1)
    throw new TesseraError(
      "UnsupportedMediaType",
      `${what} has Docker's schema 1, which is no longer supported: push the image again with a tool of today`,
    );
  const config = parseDescriptor(manifest["config"], `${what}: config`);
  if (!configTypes.has(config.mediaType))
    throw new TesseraError(
      "UnsupportedMediaType",
      `${what} is no container image: its configuration has the media type "${config.mediaType}"`,
    );
  const layers = list(manifest["layers"], `${what}: layers`).map((item, i) => parseDescriptor(item, `${what}: layers[${i}]`));
  if (layers.length > MAX_LAYERS) throw invalid(`${what} has ${layers.length} layers; overlayfs takes ${MAX_LAYERS}`);
  for (const { mediaType } of layers) {
    if (!layerType.test(mediaType))
      throw new TesseraError("UnsupportedMediaType", `${what} has a layer of the unknown media type "${mediaType}"`);
  }
  return { config, layers };
}

/** The choice for a node in an index. Throws TesseraError "NotFound" that says what there is. */
export function selectPlatform(choices: readonly Descriptor[], architecture: string, what: string): Descriptor {
  const matching = choices.filter(({ platform }) => platform?.os === "linux" && platform.architecture === architecture);
  // A variant asks for more than every processor of the architecture has; for arm64 "v8" is the first.
  const plain = matching.find(({ platform }) => platform?.variant === "" || platform?.variant === "v8");
  const chosen = plain ?? matching[0];
  if (chosen !== undefined) return chosen;
  const offered = choices
    .map(({ platform }) => `${platform?.os ?? "?"}/${platform?.architecture ?? "?"}`)
    .filter((name) => name !== "unknown/unknown");
  throw new TesseraError("NotFound", `no image for linux/${architecture} in ${what}; it has ${offered.slice(0, 20).join(", ") || "none"}`);
}

/** Throws TesseraError "Invalid" when manifest and configuration do not fit each other or this node. */
export function checkConfiguration(configuration: ImageConfiguration, manifest: Manifest, architecture: string): void {
  const { digest } = manifest.config;
  const { diffIds, platform } = configuration;
  if (diffIds.length !== manifest.layers.length)
    throw invalid(`image ${digest} has ${manifest.layers.length} layers, its configuration names ${diffIds.length}`);
  if (platform !== `linux/${architecture}` && platform !== "")
    throw invalid(`image ${digest} is for ${platform}, this node is linux/${architecture}`);
}

export function parseDockerSave(value: unknown): DockerSaveEntry[] {
  return list(value, "manifest.json").map((item, i) => {
    const entry = record(item, `manifest.json[${i}]`);
    return {
      config: text(entry["Config"], `manifest.json[${i}].Config`),
      names: strings(entry["RepoTags"], `manifest.json[${i}].RepoTags`),
      layers: strings(entry["Layers"], `manifest.json[${i}].Layers`),
    };
  });
}

export function parseConfiguration(value: unknown, what: string): ImageConfiguration {
  const image = record(value, what);
  const config = image["config"] === undefined || image["config"] === null ? {} : record(image["config"], `${what}: config`);
  const rootfs = record(image["rootfs"], `${what}: rootfs`);
  const architecture = optionalText(image["architecture"], `${what}: architecture`);
  const os = optionalText(image["os"], `${what}: os`);
  const stopSignal = optionalText(config["StopSignal"], `${what}: StopSignal`);
  return {
    platform: architecture === "" ? "" : `${os === "" ? "linux" : os}/${architecture}`,
    diffIds: strings(rootfs["diff_ids"], `${what}: rootfs.diff_ids`).map((digest) => checkDigest(digest, what)),
    config: {
      entrypoint: strings(config["Entrypoint"], `${what}: Entrypoint`),
      cmd: strings(config["Cmd"], `${what}: Cmd`),
      env: strings(config["Env"], `${what}: Env`),
      workingDir: optionalText(config["WorkingDir"], `${what}: WorkingDir`),
      user: optionalText(config["User"], `${what}: User`),
      volumes: Object.keys(optionalRecord(config["Volumes"], `${what}: Volumes`)),
      exposedPorts: Object.keys(optionalRecord(config["ExposedPorts"], `${what}: ExposedPorts`)),
      ...(stopSignal !== "" && { stopSignal }),
    },
  };
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export function checkDigest(digest: string, what: string): string {
  if (!digestPattern.test(digest)) throw invalid(`${what}: "${digest}" is not a sha256 digest`);
  return digest;
}

export function isIndex(value: unknown): boolean {
  return typeof value === "object" && value !== null && Array.isArray((value as { manifests?: unknown }).manifests);
}

function parseDescriptor(value: unknown, what: string): Descriptor {
  const descriptor = record(value, what);
  const size = descriptor["size"];
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw invalid(`${what}: size must be a whole number`);
  const annotations = Object.entries(optionalRecord(descriptor["annotations"], `${what}: annotations`));
  const platform = descriptor["platform"] === undefined ? undefined : record(descriptor["platform"], `${what}: platform`);
  return {
    mediaType: optionalText(descriptor["mediaType"], `${what}: mediaType`),
    digest: checkDigest(text(descriptor["digest"], `${what}: digest`), what),
    size,
    annotations: Object.fromEntries(annotations.map(([key, item]) => [key, text(item, `${what}: annotations`)])),
    ...(platform && {
      platform: {
        os: text(platform["os"], `${what}: platform.os`),
        architecture: text(platform["architecture"], `${what}: platform.architecture`),
        variant: optionalText(platform["variant"], `${what}: platform.variant`),
      },
    }),
  };
}

function invalid(message: string): TesseraError {
  return new TesseraError("Invalid", message);
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(`${what} must be an object`);
  return value as Record<string, unknown>;
}

function optionalRecord(value: unknown, what: string): Record<string, unknown> {
  return value === undefined || value === null ? {} : record(value, what);
}

function list(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw invalid(`${what} must be a list`);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== "string") throw invalid(`${what} must be text`);
  return value;
}

function optionalText(value: unknown, what: string): string {
  return value === undefined || value === null ? "" : text(value, what);
}

function strings(value: unknown, what: string): string[] {
  return value === undefined || value === null ? [] : list(value, what).map((item) => text(item, what));
}
