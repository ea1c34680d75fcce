import { isDeepStrictEqual } from "node:util";
import { type KindSchema, type MergeRule, type MergeRules, mergeRules, TesseraError } from "@tessera/proto";
import { isRecord, setOwn } from "./merge-patch.ts";

/*
 * Kubernetes' strategic merge patch: a merge patch that knows which lists are sets and which are maps by a key. Directives in the patch:
 *
 *   $patch: replace | delete | merge      in an object, or in an item of a keyed list
 *   $retainKeys: [a, b]                    of an object's fields only these survive
 *   $setElementOrder/FIELD: [...]          order of a keyed list or a set, as the sender sees it
 *   $deleteFromPrimitiveList/FIELD: [...]  values that leave a set
 */

type Record_ = { readonly [key: string]: unknown };

const patchDirective = "$patch";
const retainDirective = "$retainKeys";
const orderPrefix = "$setElementOrder/";
const deletePrefix = "$deleteFromPrimitiveList/";

/** Throws TesseraError "BadRequest" for a patch that makes no sense. Changes neither argument. */
export function applyStrategicMergePatch(current: unknown, patch: unknown, schema: KindSchema): unknown {
  if (!isRecord(patch)) throw new TesseraError("BadRequest", "a strategic merge patch is a JSON object");
  return mergeObject(isRecord(current) ? current : {}, patch, mergeRules(schema), "");
}

function mergeObject(current: Record_, patch: Record_, rules: MergeRules, path: string): Record_ {
  const directive = patch[patchDirective];
  if (directive === "replace") return mergeObject({}, without(patch, patchDirective), rules, path);
  if (directive === "delete") return {};
  if (directive !== undefined && directive !== "merge") throw badPatch(path, `unknown $patch directive ${JSON.stringify(directive)}`);
  const result: { [key: string]: unknown } = { ...retained(current, patch[retainDirective], path) };
  for (const field of patchedFields(patch)) {
    const at = path === "" ? field : `${path}.${field}`;
    if (Object.hasOwn(patch, field) && patch[field] === null) {
      delete result[field];
      continue;
    }
    const before = Object.hasOwn(result, field) ? result[field] : undefined;
    const merged = mergeField(before, patch, field, rules.ruleOf(field), at);
    if (merged === undefined) delete result[field];
    else setOwn(result, field, merged);
  }
  return result;
}

/** Fields that a patch speaks of, by value or by directive. */
function patchedFields(patch: Record_): Set<string> {
  const fields = Object.keys(patch).filter((key) => key !== patchDirective && key !== retainDirective);
  return new Set(
    fields.map((key) => (key.startsWith(orderPrefix) || key.startsWith(deletePrefix) ? key.slice(key.indexOf("/") + 1) : key)),
  );
}

function retained(current: Record_, keys: unknown, path: string): Record_ {
  if (keys === undefined) return current;
  if (!Array.isArray(keys)) throw badPatch(path, "$retainKeys must be a list of field names");
  return Object.fromEntries(Object.entries(current).filter(([key]) => keys.includes(key)));
}

function mergeField(before: unknown, patch: Record_, field: string, rule: MergeRule, path: string): unknown {
  const value = patch[field];
  if (rule.how === "list" || rule.how === "set") {
    const change: ListChange = { value, order: patch[orderPrefix + field], removed: patch[deletePrefix + field] };
    return mergeList(before, change, rule, path);
  }
  return value === undefined ? before : mergeValue(before, value, rule, path);
}

function mergeValue(before: unknown, value: unknown, rule: MergeRule, path: string): unknown {
  if (!isRecord(value)) return value;
  switch (rule.how) {
    case "object":
      return mergeObject(isRecord(before) ? before : {}, value, rule.rules, path);
    case "map":
      return mergeObject(isRecord(before) ? before : {}, value, { ruleOf: () => rule.values }, path);
    default:
      return without(value, patchDirective);
  }
}

interface ListChange {
  readonly value: unknown;
  readonly order: unknown;
  readonly removed: unknown;
}

function mergeList(before: unknown, change: ListChange, rule: Extract<MergeRule, { how: "list" | "set" }>, path: string): unknown {
  const current = Array.isArray(before) ? before : [];
  for (const list of [change.value, change.order, change.removed]) {
    if (list !== undefined && !Array.isArray(list)) throw badPatch(path, "must be a list");
  }
  const items = (change.value ?? []) as unknown[];
  const merged =
    rule.how === "set" ? mergeSet(current, items, (change.removed ?? []) as unknown[]) : mergeKeyed(current, items, rule, path);
  if (before === undefined && merged.length === 0 && change.value === undefined) return undefined;
  const identity = rule.how === "set" ? (item: unknown) => item : (item: unknown) => (isRecord(item) ? item[rule.key] : undefined);
  return change.order === undefined ? merged : reorder(merged, current.map(identity), (change.order as unknown[]).map(identity), identity);
}

function mergeSet(current: readonly unknown[], items: readonly unknown[], removed: readonly unknown[]): unknown[] {
  const kept = current.filter((item) => !removed.includes(item));
  return [...kept, ...items.filter((item, index) => !kept.includes(item) && items.indexOf(item) === index)];
}

function mergeKeyed(
  current: readonly unknown[],
  items: readonly unknown[],
  rule: Extract<MergeRule, { how: "list" }>,
  path: string,
): unknown[] {
  const changes = items.map((item, index) => {
    if (isRecord(item)) return item;
    throw badPatch(`${path}[${index}]`, "must be an object");
  });
  const isReplacement = changes.some((item) => item[patchDirective] === "replace");
  let result: unknown[] = isReplacement ? [] : [...current];
  for (const change of changes) {
    const directive = change[patchDirective];
    // The bare directive stands for the whole list and is no item of it.
    if (directive === "replace" && Object.keys(change).length === 1) continue;
    const key = change[rule.key];
    if (key === undefined) throw badPatch(path, `an item lacks the merge key ${rule.key}`);
    const matches = (item: unknown) => isRecord(item) && isDeepStrictEqual(item[rule.key], key);
    if (directive === "delete") {
      result = result.filter((item) => !matches(item));
      continue;
    }
    const at = result.findIndex(matches);
    const existing = at < 0 ? undefined : result[at];
    const merged = mergeObject(isRecord(existing) ? existing : {}, change, rule.rules, `${path}[${JSON.stringify(key)}]`);
    if (at < 0) result.push(merged);
    else result[at] = merged;
  }
  return result;
}

/** Puts what the sender knows of into its order; what only the server knows of keeps its place relative to its neighbours. */
function reorder(
  merged: readonly unknown[],
  serverOrder: readonly unknown[],
  senderOrder: readonly unknown[],
  identity: (item: unknown) => unknown,
): unknown[] {
  const place = (order: readonly unknown[], item: unknown) => order.findIndex((each) => isDeepStrictEqual(each, identity(item)));
  const known = merged
    .filter((item) => place(senderOrder, item) >= 0)
    .sort((one, other) => place(senderOrder, one) - place(senderOrder, other));
  const serverOnly = merged.filter((item) => place(senderOrder, item) < 0);
  const result: unknown[] = [];
  for (const item of known) {
    const at = place(serverOrder, item);
    while (at >= 0 && serverOnly.length > 0 && place(serverOrder, serverOnly[0]) < at) result.push(serverOnly.shift());
    result.push(item);
  }
  return [...result, ...serverOnly];
}

function without(object: Record_, key: string): Record_ {
  const { [key]: _, ...rest } = object;
  return rest;
}

function badPatch(path: string, what: string): TesseraError {
  return new TesseraError("BadRequest", `invalid strategic merge patch: ${path === "" ? "" : `${path}: `}${what}`);
}
