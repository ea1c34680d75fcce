import { isDeepStrictEqual } from "node:util";
import type { MergeRule, MergeRules } from "@tessera/proto";

/**
 * The patch of `apply`, from what was applied last, what is to be applied now and what the server has: what the user wrote differs from
 * the server's is set, what the user wrote the last time and no longer does is removed, and what others set is left alone.
 * Lists with a merge key are merged item by item, as strategic merge patch does and kubectl expects.
 */
export function threeWayPatch(last: Fields, wanted: Fields, current: Fields, rules: MergeRules): Fields {
  const patch: Fields = {};
  for (const [field, value] of Object.entries(wanted)) {
    if (value === undefined || value === null) continue;
    addChange(patch, field, { last: last[field], wanted: value, current: current[field] }, rules.ruleOf(field));
  }
  for (const field of Object.keys(last)) {
    const isDropped = wanted[field] === undefined || wanted[field] === null;
    if (isDropped && current[field] !== undefined && last[field] !== null) patch[field] = null;
  }
  return patch;
}

export type Fields = Record<string, unknown>;

interface Values {
  readonly last: unknown;
  readonly wanted: unknown;
  readonly current: unknown;
}

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);
const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {});
const itemsOf = (value: unknown): Fields[] => (Array.isArray(value) ? value.filter(isFields) : []);

function addChange(patch: Fields, field: string, values: Values, rule: MergeRule): void {
  const { last, wanted, current } = values;
  switch (rule.how) {
    case "object":
    case "map":
      if (isFields(wanted) && (isFields(current) || current === undefined)) {
        addObjectChange(patch, field, values, rule);
        return;
      }
      break;
    case "list":
      if (Array.isArray(wanted) && Array.isArray(current)) {
        addListChange(patch, field, { last: itemsOf(last), wanted: itemsOf(wanted), current: itemsOf(current) }, rule);
        return;
      }
      break;
    case "set":
      if (Array.isArray(wanted) && Array.isArray(current)) {
        addSetChange(patch, field, { last: Array.isArray(last) ? last : [], wanted, current });
        return;
      }
      break;
  }
  if (!isDeepStrictEqual(wanted, current)) patch[field] = wanted;
}

function addObjectChange(
  patch: Fields,
  field: string,
  { last, wanted, current }: Values,
  rule: Extract<MergeRule, { how: "object" | "map" }>,
): void {
  const rules: MergeRules = rule.how === "object" ? rule.rules : { ruleOf: () => rule.values };
  const change = threeWayPatch(fieldsOf(last), fieldsOf(wanted), fieldsOf(current), rules);
  // An object that is not there yet is made even when it is empty ("emptyDir: {}").
  if (Object.keys(change).length === 0 && current !== undefined) return;
  if (rule.how === "object" && rule.retainKeys) change["$retainKeys"] = Object.keys(fieldsOf(wanted));
  patch[field] = change;
}

interface Items {
  readonly last: readonly Fields[];
  readonly wanted: readonly Fields[];
  readonly current: readonly Fields[];
}

function addListChange(patch: Fields, field: string, { last, wanted, current }: Items, rule: Extract<MergeRule, { how: "list" }>): void {
  const { key } = rule;
  const find = (items: readonly Fields[], value: unknown) => items.find((item) => item[key] === value);
  const changes: Fields[] = [];
  for (const item of wanted) {
    const existing = find(current, item[key]);
    if (existing === undefined) {
      changes.push(item);
      continue;
    }
    const change = threeWayPatch(find(last, item[key]) ?? {}, item, existing, rule.rules);
    if (Object.keys(change).length === 0) continue;
    changes.push({ ...change, ...(rule.retainKeys ? { $retainKeys: Object.keys(item) } : {}), [key]: item[key] });
  }
  const dropped = last.filter((item) => find(wanted, item[key]) === undefined && find(current, item[key]) !== undefined);
  for (const item of dropped) changes.push({ $patch: "delete", [key]: item[key] });
  if (changes.length === 0) return;
  // Says in which order the items stand: those of others follow.
  patch[`$setElementOrder/${field}`] = wanted.map((item) => ({ [key]: item[key] }));
  patch[field] = changes;
}

function addSetChange(
  patch: Fields,
  field: string,
  { last, wanted, current }: { last: readonly unknown[]; wanted: readonly unknown[]; current: readonly unknown[] },
): void {
  const added = wanted.filter((item) => !current.includes(item));
  const dropped = last.filter((item) => !wanted.includes(item) && current.includes(item));
  if (added.length > 0) patch[field] = added;
  if (dropped.length > 0) patch[`$deleteFromPrimitiveList/${field}`] = dropped;
  if (added.length > 0 || dropped.length > 0) patch[`$setElementOrder/${field}`] = [...wanted];
}
