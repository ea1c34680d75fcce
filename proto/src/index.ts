export type * from "../gen/api.ts";
export {
  type ContainerTuning,
  containerTuning,
  type DeviceLimit,
  type DeviceRate,
  pausedContainers,
  type TuningFault,
  tuningFaults,
  type Ulimit,
  type UlimitName,
  ulimitNames,
} from "./container-tuning.ts";
export { isCancellation, type StatusReason, TesseraError } from "./error.ts";
export { parseIdList } from "./id-list.ts";
export { type InitChoice, initAnnotation, parseInitAnnotation } from "./init-annotation.ts";
export { type LogOutput, readableInJournal } from "./journal.ts";
export { type ManifestDocument, type Position, parseManifest } from "./manifest.ts";
export { type HostPort, hostPortsCollide, podHostPorts } from "./placement/host-ports.ts";
export { matchesTerm, type SelectableNode } from "./placement/node-selector-terms.ts";
export { type Amounts, podRequests, resourceAmount, scoredRequests } from "./placement/requests.ts";
export { tolerates, toleratesAny } from "./placement/tolerations.ts";
export {
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  isQuantity,
  type QuantityFormat,
  quantityMilliValue,
  quantityValue,
} from "./quantity.ts";
export { builtinKinds, SchemaCatalog, schemaOf } from "./schema/catalog.ts";
export { decodeObject } from "./schema/decode.ts";
export { applyDefaults } from "./schema/defaults.ts";
export { type Explanation, explainField } from "./schema/explain.ts";
export { type FieldFault, fieldPath, keyPath } from "./schema/field-fault.ts";
export { type MergeRule, type MergeRules, mergeRules } from "./schema/merge-rules.ts";
export type { OpenApiJson } from "./schema/openapi-schemas.ts";
export { type GroupVersion, groupVersionPath, openApiV3, openApiV3Index } from "./schema/openapi-v3.ts";
export { decodeProtobuf, protobufContentType } from "./schema/protobuf.ts";
export type { FieldSchema, GroupVersionKind, KindSchema, ObjectSchema, PatchStrategy, ScalarType, ValueSchema } from "./schema/schema.ts";
export { suggest } from "./schema/suggest.ts";
export {
  type CarriedServiceAccountToken,
  parseServiceAccountTokenName,
  type ServiceAccountTokenRequest,
  serviceAccountTokenName,
} from "./service-account-token-name.ts";
export { nameProcess, tellServiceManagerReady } from "./service-manager.ts";
export { VERSION } from "./version.ts";
