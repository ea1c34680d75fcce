import type { Lease } from "@tessera/proto";
import { allVerbs, type ResourceDefinition } from "../definition.ts";
import { type Fault, invalid } from "../faults.ts";
import { ageColumn, nameColumn, plainStrategy } from "../strategy.ts";

export const leaseDefinition: ResourceDefinition<Lease> = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  singular: "lease",
  shortNames: [],
  categories: [],
  namespaced: true,
  verbs: allVerbs,
  subresources: [],
  selectableFields: {},
  returnsDeletedObject: false,
  columns: [
    nameColumn,
    { name: "Holder", type: "string", description: "Who holds the lease.", cell: (lease) => lease.spec?.holderIdentity ?? "" },
    ageColumn,
  ],
  strategy: plainStrategy<Lease>({ validate }),
};

function validate(lease: Lease): Fault[] {
  const faults: Fault[] = [];
  const { leaseDurationSeconds, leaseTransitions } = lease.spec ?? {};
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
    faults.push(invalid("spec.leaseDurationSeconds", leaseDurationSeconds, "must be greater than 0"));
  }
  if (leaseTransitions !== undefined && leaseTransitions < 0) {
    faults.push(invalid("spec.leaseTransitions", leaseTransitions, "must be greater than or equal to 0"));
  }
  return faults;
}
