import {
  type DownwardAPIVolumeFile,
  isQuantity,
  type KeyToPath,
  quantityMilliValue,
  type ServiceAccountTokenProjection,
  type Volume,
  type VolumeProjection,
} from "@tessera/proto";
import { duplicate, type Fault, forbidden, invalid, notSupported, required } from "../../faults.ts";
import { checkConfigKey, checkDnsLabel, checkDnsSubdomain } from "../../names.ts";
import { validateResourceFieldRef, validateVolumeFieldRef } from "./env.ts";
import { checkProjectedPath } from "./paths.ts";

const maxMode = 0o777;
const hostPathTypes = ["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];
/** Sources that pods can have here. */
const supported = ["emptyDir", "hostPath", "configMap", "secret", "downwardAPI", "projected"] as const;
const unsupported = ["csi", "ephemeral", "image", "nfs", "persistentVolumeClaim"] as const;

export function validateVolumes(volumes: readonly Volume[], path: string): Fault[] {
  const names = new Set<string>();
  return volumes.flatMap((volume, index) => {
    const at = `${path}[${index}]`;
    const faults: Fault[] = [];
    const name = volume.name ?? "";
    const nameFault = name === "" ? undefined : checkDnsLabel(name);
    if (name === "") faults.push(required(`${at}.name`));
    else if (nameFault !== undefined) faults.push(invalid(`${at}.name`, name, nameFault));
    else if (names.has(name)) faults.push(duplicate(`${at}.name`, name));
    names.add(name);
    return [...faults, ...validateSource(volume, at)];
  });
}

function validateSource(volume: Volume, path: string): Fault[] {
  const given = [...supported, ...unsupported].filter((source) => volume[source] !== undefined);
  if (given.length === 0) return [required(path, `must specify a volume type: one of ${supported.join(", ")}`)];
  const faults: Fault[] = given.slice(1).map((source) => forbidden(`${path}.${source}`, "may not specify more than 1 volume type"));
  for (const source of unsupported) {
    if (volume[source] !== undefined)
      faults.push(forbidden(`${path}.${source}`, `volumes of this type are not supported yet; supported are ${supported.join(", ")}`));
  }
  const { emptyDir, hostPath, configMap, secret, downwardAPI, projected } = volume;
  if (emptyDir !== undefined) faults.push(...validateEmptyDir(emptyDir, `${path}.emptyDir`));
  if (hostPath !== undefined) faults.push(...validateHostPath(hostPath, `${path}.hostPath`));
  if (configMap !== undefined)
    faults.push(...validateReference(configMap.name, `${path}.configMap.name`), ...validateItems(configMap, `${path}.configMap`));
  if (secret !== undefined)
    faults.push(...validateReference(secret.secretName, `${path}.secret.secretName`), ...validateItems(secret, `${path}.secret`));
  if (downwardAPI !== undefined)
    faults.push(
      ...validateMode(downwardAPI.defaultMode, `${path}.downwardAPI.defaultMode`),
      ...validateFiles(downwardAPI.items ?? [], `${path}.downwardAPI.items`),
    );
  if (projected !== undefined) {
    faults.push(...validateMode(projected.defaultMode, `${path}.projected.defaultMode`));
    for (const [index, source] of (projected.sources ?? []).entries())
      faults.push(...validateProjection(source, `${path}.projected.sources[${index}]`));
  }
  return faults;
}

function validateEmptyDir(source: NonNullable<Volume["emptyDir"]>, path: string): Fault[] {
  const faults: Fault[] = [];
  const { medium = "", sizeLimit } = source;
  if (medium !== "" && medium !== "Memory" && !medium.startsWith("HugePages"))
    faults.push(notSupported(`${path}.medium`, medium, ["", "Memory"]));
  if (sizeLimit !== undefined && (!isQuantity(sizeLimit) || quantityMilliValue(sizeLimit) < 0)) {
    faults.push(invalid(`${path}.sizeLimit`, sizeLimit, "SizeLimit field must be a valid resource quantity"));
  }
  return faults;
}

function validateHostPath(source: NonNullable<Volume["hostPath"]>, path: string): Fault[] {
  if (!source.path) return [required(`${path}.path`)];
  const faults: Fault[] = [];
  if (source.path.split("/").includes("..")) faults.push(invalid(`${path}.path`, source.path, "must not contain '..'"));
  if (!hostPathTypes.includes(source.type ?? "")) faults.push(notSupported(`${path}.type`, source.type, hostPathTypes));
  return faults;
}

function validateReference(name: string | undefined, path: string): Fault[] {
  if (!name) return [required(path)];
  const fault = checkDnsSubdomain(name);
  return fault === undefined ? [] : [invalid(path, name, fault)];
}

/** Keys and the files that they become. */
function validateItems(source: { readonly defaultMode?: number; readonly items?: readonly KeyToPath[] }, path: string): Fault[] {
  const faults = validateMode(source.defaultMode, `${path}.defaultMode`);
  for (const [index, item] of (source.items ?? []).entries()) {
    const at = `${path}.items[${index}]`;
    const keyFault = item.key ? checkConfigKey(item.key) : undefined;
    if (!item.key) faults.push(required(`${at}.key`));
    else if (keyFault !== undefined) faults.push(invalid(`${at}.key`, item.key, keyFault));
    faults.push(...validateFilePath(item.path, `${at}.path`), ...validateMode(item.mode, `${at}.mode`));
  }
  return faults;
}

function validateFiles(files: readonly DownwardAPIVolumeFile[], path: string): Fault[] {
  return files.flatMap((file, index) => {
    const at = `${path}[${index}]`;
    const faults = [...validateFilePath(file.path, `${at}.path`), ...validateMode(file.mode, `${at}.mode`)];
    if ((file.fieldRef === undefined) === (file.resourceFieldRef === undefined)) {
      const word =
        file.fieldRef === undefined
          ? "one of fieldRef and resourceFieldRef is required"
          : "fieldRef and resourceFieldRef can not be specified simultaneously";
      return [...faults, file.fieldRef === undefined ? required(at, word) : invalid(at, "resource", word)];
    }
    if (file.fieldRef !== undefined) faults.push(...validateVolumeFieldRef(file.fieldRef, `${at}.fieldRef`));
    if (file.resourceFieldRef !== undefined)
      faults.push(...validateResourceFieldRef(file.resourceFieldRef, `${at}.resourceFieldRef`, true));
    return faults;
  });
}

function validateProjection(projection: VolumeProjection, path: string): Fault[] {
  const { configMap, secret, downwardAPI, serviceAccountToken } = projection;
  const given = Object.values(projection).filter((value) => value !== undefined).length;
  if (given !== 1)
    return [given === 0 ? required(path, "must specify a source") : forbidden(path, "may not specify more than 1 volume type per source")];
  if (configMap !== undefined)
    return [...validateReference(configMap.name, `${path}.configMap.name`), ...validateItems(configMap, `${path}.configMap`)];
  if (secret !== undefined) return [...validateReference(secret.name, `${path}.secret.name`), ...validateItems(secret, `${path}.secret`)];
  if (downwardAPI !== undefined) return validateFiles(downwardAPI.items ?? [], `${path}.downwardAPI.items`);
  if (serviceAccountToken !== undefined) return validateToken(serviceAccountToken, `${path}.serviceAccountToken`);
  const [source = ""] = Object.keys(projection);
  return [
    forbidden(
      `${path}.${source}`,
      "this source is not supported yet; supported are configMap, secret, downwardAPI and serviceAccountToken",
    ),
  ];
}

function validateToken({ expirationSeconds, path: file }: ServiceAccountTokenProjection, path: string): Fault[] {
  const faults = validateFilePath(file, `${path}.path`);
  const seconds = expirationSeconds ?? 3600;
  const at = `${path}.expirationSeconds`;
  if (seconds < 600) faults.push(invalid(at, seconds, "may not specify a duration less than 10 minutes"));
  if (seconds > 2 ** 32) faults.push(invalid(at, seconds, "may not specify a duration larger than 2^32 seconds"));
  return faults;
}

function validateFilePath(path: string | undefined, at: string): Fault[] {
  if (!path) return [required(at)];
  const fault = checkProjectedPath(path);
  return fault === undefined ? [] : [invalid(at, path, fault)];
}

function validateMode(mode: number | undefined, path: string): Fault[] {
  if (mode === undefined || (mode >= 0 && mode <= maxMode)) return [];
  return [invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")];
}
