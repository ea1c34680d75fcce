import type { ConfigMap } from "@tessera/proto";
import { allVerbs, type ResourceDefinition } from "../definition.ts";
import { ageColumn, nameColumn, plainStrategy } from "../strategy.ts";
import { validateImmutableData, validateKeys } from "./keyed-data.ts";

export const configMapDefinition: ResourceDefinition<ConfigMap> = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  singular: "configmap",
  shortNames: ["cm"],
  categories: [],
  namespaced: true,
  verbs: allVerbs,
  subresources: [],
  selectableFields: {},
  returnsDeletedObject: false,
  columns: [
    nameColumn,
    {
      name: "Data",
      type: "integer",
      description: "Number of entries.",
      cell: (object) => Object.keys(object.data ?? {}).length + Object.keys(object.binaryData ?? {}).length,
    },
    ageColumn,
  ],
  strategy: plainStrategy<ConfigMap>({
    validate: (object) => validateKeys({ data: object.data, binaryData: object.binaryData }),
    validateUpdate: (next, current) => [
      ...validateKeys({ data: next.data, binaryData: next.binaryData }),
      ...validateImmutableData(next, current, ["data", "binaryData"]),
    ],
  }),
};
