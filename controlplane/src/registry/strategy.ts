import type { ApiObject, Column, Strategy } from "./definition.ts";
import { formatAge } from "./kinds/age.ts";
import { checkDnsSubdomain } from "./names.ts";

/** What a kind without rules of its own does; kinds override parts of it. */
export function plainStrategy<T extends ApiObject>(rules: Partial<Strategy<T>> = {}): Strategy<T> {
  const validate = rules.validate ?? (() => []);
  return {
    prepareForCreate() {},
    validate,
    prepareForUpdate() {},
    validateUpdate: (next) => validate(next),
    checkName: checkDnsSubdomain,
    ...rules,
  };
}

export const nameColumn: Column<ApiObject> = {
  name: "Name",
  type: "string",
  format: "name",
  description: "Unique within its namespace and resource.",
  cell: (object) => object.metadata?.name ?? "",
};

export const ageColumn: Column<ApiObject> = {
  name: "Age",
  type: "string",
  description: "Time since the object was created.",
  cell: (object, nowMs) => formatAge(object.metadata?.creationTimestamp, nowMs),
};
