import type { Namespace } from "@tessera/proto";
import type { ResourceDefinition } from "../definition.ts";
import { checkDnsLabel } from "../names.ts";
import { ageColumn, nameColumn, plainStrategy } from "../strategy.ts";

const namespaceKind = { group: "", version: "v1", kind: "Namespace" };
/** The finalizer of spec.finalizers that stands for "its objects still exist". */
export const contentFinalizer = "kubernetes";
export const nameLabel = "kubernetes.io/metadata.name";

export const namespaceDefinition: ResourceDefinition<Namespace> = {
  ...namespaceKind,
  plural: "namespaces",
  singular: "namespace",
  shortNames: ["ns"],
  categories: [],
  namespaced: false,
  verbs: ["create", "delete", "get", "list", "patch", "update", "watch"],
  subresources: [
    { name: "finalize", kind: namespaceKind, verbs: ["update"] },
    { name: "status", kind: namespaceKind, verbs: ["get", "patch", "update"] },
  ],
  selectableFields: { "status.phase": (namespace) => namespace.status?.phase ?? "" },
  returnsDeletedObject: true,
  columns: [
    nameColumn,
    { name: "Status", type: "string", description: "Active or Terminating.", cell: (namespace) => namespace.status?.phase ?? "" },
    ageColumn,
  ],
  strategy: plainStrategy<Namespace>({
    checkName: checkDnsLabel,
    prepareForCreate(namespace) {
      namespace.spec = { finalizers: [...new Set([...(namespace.spec?.finalizers ?? []), contentFinalizer])] };
      namespace.status = { phase: "Active" };
      label(namespace);
    },
    prepareForUpdate(next, current) {
      next.spec = current.spec;
      next.status = current.status;
      label(next);
    },
    parts: {
      status: {
        prepare(next, current) {
          next.spec = current.spec;
        },
        validate: () => [],
      },
      finalize: {
        prepare(next, current) {
          next.status = current.status;
        },
        validate: () => [],
      },
    },
    markDeleted(namespace) {
      namespace.status = { ...namespace.status, phase: "Terminating" };
    },
    isHeld: (namespace) => (namespace.spec?.finalizers?.length ?? 0) > 0,
  }),
};

/** Selectors of namespaces can name one by this label; nobody may make it lie. */
function label(namespace: Namespace): void {
  const meta = namespace.metadata ?? {};
  namespace.metadata = { ...meta, labels: { ...meta.labels, [nameLabel]: meta.name ?? "" } };
}
