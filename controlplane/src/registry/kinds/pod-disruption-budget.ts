import { isDeepStrictEqual } from "node:util";
import type { PodDisruptionBudget } from "@tessera/proto";
import { allVerbs, type ResourceDefinition } from "../definition.ts";
import { type Fault, forbidden, invalid } from "../faults.ts";
import { validateLabels } from "../object-meta.ts";
import { ageColumn, nameColumn, plainStrategy } from "../strategy.ts";

const kind = { group: "policy", version: "v1", kind: "PodDisruptionBudget" };

export const podDisruptionBudgetDefinition: ResourceDefinition<PodDisruptionBudget> = {
  ...kind,
  plural: "poddisruptionbudgets",
  singular: "poddisruptionbudget",
  shortNames: ["pdb"],
  categories: [],
  namespaced: true,
  verbs: allVerbs,
  subresources: [{ name: "status", kind, verbs: ["get", "patch", "update"] }],
  selectableFields: {},
  returnsDeletedObject: false,
  columns: [
    nameColumn,
    { name: "Min Available", type: "string", description: "How many must stay.", cell: ({ spec }) => String(spec?.minAvailable ?? "N/A") },
    {
      name: "Max Unavailable",
      type: "string",
      description: "How many may be missing.",
      cell: ({ spec }) => String(spec?.maxUnavailable ?? "N/A"),
    },
    {
      name: "Allowed Disruptions",
      type: "integer",
      description: "Evictions allowed now.",
      cell: ({ status }) => status?.disruptionsAllowed ?? 0,
    },
    ageColumn,
  ],
  strategy: plainStrategy<PodDisruptionBudget>({
    isNewGeneration: (next, current) => !isDeepStrictEqual(next.spec, current.spec),
    prepareForCreate(budget) {
      budget.status = { currentHealthy: 0, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0 };
    },
    validate,
    prepareForUpdate(next, current) {
      next.status = current.status;
    },
    parts: {
      status: {
        prepare(next, current) {
          next.spec = current.spec;
        },
        validate: () => [],
      },
    },
  }),
};

function validate({ spec = {} }: PodDisruptionBudget): Fault[] {
  const faults = (["minAvailable", "maxUnavailable"] as const).flatMap((field) => checkAmount(spec[field], `spec.${field}`));
  if (spec.minAvailable !== undefined && spec.maxUnavailable !== undefined) {
    faults.push(forbidden("spec", "minAvailable and maxUnavailable cannot be both set"));
  }
  return [...faults, ...validateLabels(spec.selector?.matchLabels, "spec.selector.matchLabels")];
}

function checkAmount(amount: number | string | undefined, path: string): Fault[] {
  if (typeof amount === "string") {
    const percent = /^(\d+)%$/.exec(amount)?.[1];
    if (percent === undefined) return [invalid(path, amount, "must be a number or a percentage such as 50%")];
    return Number(percent) > 100 ? [invalid(path, amount, "must not be greater than 100%")] : [];
  }
  return amount !== undefined && amount < 0 ? [invalid(path, amount, "must be greater than or equal to 0")] : [];
}
