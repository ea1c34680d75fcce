import { randomInt, randomUUID } from "node:crypto";
import type { ObjectMeta } from "@tessera/proto";
import type { ApiObject } from "./definition.ts";
import { duplicate, type Fault, forbidden, immutable, invalid, required, tooLong } from "./faults.ts";
import { checkDnsLabel, checkLabelValue, checkQualifiedName } from "./names.ts";

const maxAnnotationBytes = 256 * 1024;
const maxNameLength = 253;
const suffixLength = 5;
/** No vowels and no look-alikes, so that no generated name spells a word. */
const suffixAlphabet = "bcdfghjklmnpqrstvwxz2456789";

/** "web-" becomes "web-x7k2p". */
export function generateName(prefix: string): string {
  let suffix = "";
  for (let i = 0; i < suffixLength; i++) suffix += suffixAlphabet[randomInt(suffixAlphabet.length)];
  return prefix.slice(0, 63 - suffixLength) + suffix;
}

/** RFC 3339 in whole seconds, as all times in metadata. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** The metadata of a new object: what the server decides replaces what the creator sent. */
export function newObjectMeta(
  sent: ObjectMeta,
  options: { namespaced: boolean; namespace: string; countsGeneration: boolean; nowMs: number },
): ObjectMeta {
  const {
    name,
    namespace: _namespace,
    uid: _uid,
    creationTimestamp: _created,
    generation: _generation,
    deletionTimestamp: _deleted,
    deletionGracePeriodSeconds: _grace,
    resourceVersion: _revision,
    selfLink: _selfLink,
    managedFields: _managed,
    ...rest
  } = sent;
  return {
    name: name === undefined || name === "" ? (rest.generateName ? generateName(rest.generateName) : "") : name,
    ...(options.namespaced ? { namespace: options.namespace } : {}),
    uid: randomUUID(),
    ...(options.countsGeneration ? { generation: 1 } : {}),
    creationTimestamp: formatTime(options.nowMs),
    ...rest,
  };
}

/** The metadata of an update: what only the server may change is kept, attempts to change it are reported by `validateMetaUpdate`. */
export function updatedObjectMeta(sent: ObjectMeta, current: ObjectMeta): ObjectMeta {
  const { managedFields: _managed, selfLink: _selfLink, ...rest } = sent;
  const kept: ObjectMeta = { ...rest };
  for (const field of [
    "name",
    "namespace",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
  ] as const) {
    if (current[field] === undefined) delete kept[field];
    else Object.assign(kept, { [field]: current[field] });
  }
  return kept;
}

/** Rules of metadata that hold for every kind. */
export function validateMeta(object: ApiObject, namespaced: boolean, checkName: (name: string) => string | undefined): Fault[] {
  const meta = object.metadata ?? {};
  const faults: Fault[] = [];
  if (!meta.name) faults.push(required("metadata.name", "name or generateName is required"));
  else {
    const fault = meta.name.length > maxNameLength ? `must be no more than ${maxNameLength} characters` : checkName(meta.name);
    if (fault !== undefined) faults.push(invalid("metadata.name", meta.name, fault));
  }
  if (namespaced && meta.namespace) {
    const fault = checkDnsLabel(meta.namespace);
    if (fault !== undefined) faults.push(invalid("metadata.namespace", meta.namespace, fault));
  }
  faults.push(...validateLabels(meta.labels, "metadata.labels"), ...validateAnnotations(meta.annotations, "metadata.annotations"));
  for (const [index, finalizer] of (meta.finalizers ?? []).entries()) {
    const path = `metadata.finalizers[${index}]`;
    const fault = checkQualifiedName(finalizer);
    if (fault !== undefined) faults.push(invalid(path, finalizer, fault));
    else if (!finalizer.includes("/") && !["orphan", "foregroundDeletion", "kubernetes"].includes(finalizer)) {
      faults.push(invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified"));
    }
  }
  faults.push(...validateOwners(meta));
  return faults;
}

/** Keys and values of labels; also used for selectors of nodes. */
export function validateLabels(labels: { readonly [key: string]: string } | undefined, path: string): Fault[] {
  const faults: Fault[] = [];
  for (const [key, value] of Object.entries(labels ?? {})) {
    const keyFault = checkQualifiedName(key);
    if (keyFault !== undefined) faults.push(invalid(path, key, keyFault));
    const valueFault = checkLabelValue(value);
    if (valueFault !== undefined) faults.push(invalid(path, value, valueFault));
  }
  return faults;
}

function validateAnnotations(annotations: { readonly [key: string]: string } | undefined, path: string): Fault[] {
  const faults: Fault[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
    const fault = checkQualifiedName(key.toLowerCase());
    if (fault !== undefined) faults.push(invalid(path, key, fault));
  }
  if (bytes > maxAnnotationBytes) faults.push(tooLong(path, maxAnnotationBytes));
  return faults;
}

function validateOwners(meta: ObjectMeta): Fault[] {
  const faults: Fault[] = [];
  const uids = new Set<string>();
  let controllers = 0;
  for (const [index, owner] of (meta.ownerReferences ?? []).entries()) {
    const path = `metadata.ownerReferences[${index}]`;
    for (const field of ["apiVersion", "kind", "name", "uid"] as const) {
      if (!owner[field]) faults.push(required(`${path}.${field}`, `${field} must not be empty`));
    }
    if (owner.uid && uids.has(owner.uid)) faults.push(duplicate(`${path}.uid`, owner.uid));
    if (owner.uid) uids.add(owner.uid);
    if (owner.controller && ++controllers > 1) {
      faults.push(invalid("metadata.ownerReferences", owner.name, "only one reference can have controller set to true"));
    }
  }
  return faults;
}

/** What the sender of an update tried to change although only the server may. */
export function validateMetaUpdate(sent: ObjectMeta, current: ObjectMeta): Fault[] {
  const faults: Fault[] = [];
  for (const field of ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] as const) {
    if (sent[field] !== undefined && sent[field] !== null && sent[field] !== current[field]) {
      faults.push(immutable(`metadata.${field}`, sent[field]));
    }
  }
  if (current.deletionTimestamp !== undefined) {
    const added = (sent.finalizers ?? []).filter((finalizer) => !(current.finalizers ?? []).includes(finalizer));
    if (added.length > 0) {
      const list = added.map((finalizer) => JSON.stringify(finalizer)).join(", ");
      faults.push(
        forbidden("metadata.finalizers", `no new finalizers can be added if the object is being deleted, found new finalizers ${list}`),
      );
    }
  }
  return faults;
}
