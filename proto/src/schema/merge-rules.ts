import type { FieldSchema, KindSchema, ObjectSchema, ValueSchema } from "./schema.ts";

/** How strategic merge patch changes one value. */
export type MergeRule =
  /** The patch's value takes the place of the old one. */
  | { readonly how: "replace" }
  /** An object: field by field, by its rules. */
  | { readonly how: "object"; readonly rules: MergeRules; readonly retainKeys: boolean }
  /** An object with any keys: key by key, each value by the same rule. */
  | { readonly how: "map"; readonly values: MergeRule }
  /** A list of objects: those with the same value of the key are merged by the rules, others are added. */
  | { readonly how: "list"; readonly key: string; readonly rules: MergeRules; readonly retainKeys: boolean }
  /** A list of scalars: those that are not in it yet are added. */
  | { readonly how: "set" };

/** How strategic merge patch changes the fields of an object. */
export interface MergeRules {
  /** Fields that the schema does not know, and objects in them, are merged as by a JSON merge patch. */
  ruleOf(field: string): MergeRule;
}

const replace: MergeRule = { how: "replace" };

/** What strategic merge patch needs to know of a kind. Cheap: rules are made as they are asked for. */
export function mergeRules(schema: KindSchema | ObjectSchema): MergeRules {
  const object = "object" in schema ? schema.object : schema;
  return {
    ruleOf: (name) => {
      const field = object.fields.get(name);
      return field === undefined ? anyValue : ruleOfField(field);
    },
  };
}

/** For values without a schema: objects merge, everything else is replaced. The patch decides which it is. */
const anyValue: MergeRule = { how: "object", rules: { ruleOf: () => anyValue }, retainKeys: false };

function ruleOfField(field: FieldSchema): MergeRule {
  const retainKeys = field.patch.includes("retainKeys");
  if (field.patch.includes("replace")) {
    return replace;
  }
  if (field.value.type !== "list") {
    return ruleOfValue(field.value, retainKeys);
  }
  if (!field.patch.includes("merge")) {
    return replace;
  }
  const items = field.value.items;
  if (items.type === "object" && field.mergeKey !== undefined) {
    return { how: "list", key: field.mergeKey, rules: mergeRules(items.object), retainKeys };
  }
  return items.type === "object" ? replace : { how: "set" };
}

function ruleOfValue(value: ValueSchema, retainKeys: boolean): MergeRule {
  switch (value.type) {
    case "object":
      return { how: "object", rules: mergeRules(value.object), retainKeys };
    case "map":
      return { how: "map", values: ruleOfValue(value.values, false) };
    case "any":
    case "any-object":
      return anyValue;
    default:
      return replace;
  }
}
