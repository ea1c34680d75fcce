import type { KindSchema, ObjectSchema, ValueSchema } from "../schema.ts";

/** The names of all objects that the kinds consist of. */
export function reachableObjects(kinds: readonly KindSchema[]): ReadonlySet<string> {
  const names = new Set<string>();
  const visit = (object: ObjectSchema): void => {
    if (!names.has(object.name)) {
      names.add(object.name);
      for (const field of object.fields.values()) {
        visitValue(field.value);
      }
    }
  };
  const visitValue = (value: ValueSchema): void => {
    if (value.type === "object") {
      visit(value.object);
    } else if (value.type === "list") {
      visitValue(value.items);
    } else if (value.type === "map") {
      visitValue(value.values);
    }
  };
  for (const kind of kinds) {
    visit(kind.object);
  }
  return names;
}
