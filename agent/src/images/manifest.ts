/**
 * Parsers of what archives and registries hold: OCI image index, manifest and configuration (image-spec v1.1), and
 * the manifest.json of `docker save`. Outside data is unknown until one of these returned a type.
 */
import { TesseraError } from "@tessera/proto";
import type { ImageConfig } from "./image-store.ts";

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly platform?: { readonly os: string; readonly architecture: string };
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
}

const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** JSON of at most 4 MiB; larger metadata is an attack, not an image. */
export function parseJson(bytes: Uint8Array, what: string): unknown {
  if (bytes.length > 4 << 20) throw invalid(`${what} is ${bytes.length} bytes long; at most 4 MiB are read`);
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw new TesseraError("Invalid", `${what} is not JSON`, { cause });
  }
}

export function parseIndex(value: unknown, what: string): Descriptor[] {
  return list(record(value, what)["manifests"], `${what}: manifests`).map((item, i) => parseDescriptor(item, `${what}: manifests[${i}]`));
}

export function parseManifest(value: unknown, what: string): Manifest {
  const manifest = record(value, what);
  return {
    config: parseDescriptor(manifest["config"], `${what}: config`),
    layers: list(manifest["layers"], `${what}: layers`).map((item, i) => parseDescriptor(item, `${what}: layers[${i}]`)),
  };
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
  const stopSignal = optionalText(config["StopSignal"], `${what}: StopSignal`);
  return {
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
