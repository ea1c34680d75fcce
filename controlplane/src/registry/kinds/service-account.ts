import type { ServiceAccount } from "@tessera/proto";
import { allVerbs, type ResourceDefinition } from "../definition.ts";
import { ageColumn, nameColumn, plainStrategy } from "../strategy.ts";

export const serviceAccountDefinition: ResourceDefinition<ServiceAccount> = {
  group: "",
  version: "v1",
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  singular: "serviceaccount",
  shortNames: ["sa"],
  categories: [],
  namespaced: true,
  verbs: allVerbs,
  subresources: [{ name: "token", kind: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" }, verbs: ["create"] }],
  selectableFields: {},
  returnsDeletedObject: true,
  columns: [
    nameColumn,
    {
      name: "Secrets",
      type: "integer",
      description: "Number of Secrets that the account lists.",
      cell: (account) => account.secrets?.length ?? 0,
    },
    ageColumn,
  ],
  strategy: plainStrategy<ServiceAccount>(),
};
