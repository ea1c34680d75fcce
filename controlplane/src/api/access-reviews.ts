import {
  type LocalSubjectAccessReview,
  type NonResourceAttributes,
  type ResourceAttributes,
  type SelfSubjectAccessReview,
  type SelfSubjectRulesReview,
  type SubjectAccessReview,
  type SubjectAccessReviewSpec,
  TesseraError,
} from "@tessera/proto";
import { authorize, rulesFor } from "../auth/authorize.ts";
import type { UserInfo } from "../auth/tokens.ts";
import type { ApiObject } from "../registry/definition.ts";
import { type Fault, forbidden, invalid, invalidObject, required } from "../registry/faults.ts";
import { formatTime } from "../registry/object-meta.ts";
import { decodeBody } from "./decode.ts";
import type { VirtualCall, VirtualResource } from "./discovery.ts";
import { type ApiResponse, jsonResponse, withWarnings } from "./http.ts";

type Question = Pick<SubjectAccessReviewSpec, "resourceAttributes" | "nonResourceAttributes">;

/** What the reviews have in common; each is answered by `authorize` or by the rules that it goes by. */
function review<T extends ApiObject & { status?: unknown }>(
  kind: string,
  namespaced: boolean,
  answer: (review: T, call: VirtualCall) => { readonly faults: readonly Fault[]; readonly status: () => NonNullable<T["status"]> },
): VirtualResource {
  const resource = {
    group: "authorization.k8s.io",
    version: "v1",
    kind,
    plural: `${kind.toLowerCase()}s`,
    singular: kind.toLowerCase(),
    namespaced,
    verbs: ["create"],
  };
  const create = async (call: VirtualCall): Promise<ApiResponse> => {
    const { object, faults, warnings } = await decodeBody<T>(call.request, resource);
    const { faults: own, status } = answer(object, call);
    // The status is the answer; clients that write every field send an empty one.
    const all = [...faults.filter((fault) => !fault.path.startsWith("status.")), ...own];
    if (all.length > 0) throw invalidObject(kind, resource.group, object.metadata?.name ?? "", all);
    const metadata = { ...object.metadata, creationTimestamp: formatTime(call.nowMs) };
    return withWarnings(
      jsonResponse({ ...object, apiVersion: "authorization.k8s.io/v1", kind, metadata, status: status() }, 201),
      warnings,
    );
  };
  return { ...resource, create };
}

/** May I? */
const selfSubjectAccessReviews = review<SelfSubjectAccessReview>("SelfSubjectAccessReview", false, ({ spec = {} }, { user }) => ({
  faults: checkQuestion(spec),
  status: () => decide(user, spec),
}));

/** May they? */
const subjectAccessReviews = review<SubjectAccessReview>("SubjectAccessReview", false, ({ spec = {} }) => ({
  faults: [...checkQuestion(spec), ...checkSubject(spec)],
  status: () => decide(subject(spec), spec),
}));

/** May they, in this namespace? */
const localSubjectAccessReviews = review<LocalSubjectAccessReview>("LocalSubjectAccessReview", true, ({ spec = {} }, { namespace }) => {
  const attributes: ResourceAttributes = { ...spec.resourceAttributes, namespace: spec.resourceAttributes?.namespace || namespace };
  const path = "spec.resourceAttributes.namespace";
  const elsewhere = attributes.namespace !== namespace;
  return {
    faults: [
      ...(spec.nonResourceAttributes === undefined
        ? []
        : [forbidden("spec.nonResourceAttributes", "a review in a namespace is about objects in it")]),
      ...(spec.resourceAttributes === undefined ? [required("spec.resourceAttributes")] : []),
      ...(elsewhere ? [invalid(path, attributes.namespace, `must be the namespace of the request, ${JSON.stringify(namespace)}`)] : []),
      ...checkSelectors(attributes),
      ...checkSubject(spec),
    ],
    status: () => decide(subject(spec), { resourceAttributes: attributes }),
  };
});

/** What may I do in a namespace? */
const selfSubjectRulesReviews = review<SelfSubjectRulesReview>("SelfSubjectRulesReview", false, ({ spec = {} }, { user }) => {
  if (!spec.namespace) throw new TesseraError("BadRequest", "spec.namespace: Required value: rules are those of one namespace");
  const { resourceRules, nonResourceRules } = rulesFor(user);
  return { faults: [], status: () => ({ resourceRules: [...resourceRules], nonResourceRules: [...nonResourceRules], incomplete: false }) };
});

/** The questions of authorization.k8s.io. */
export const accessReviews: readonly VirtualResource[] = [
  selfSubjectAccessReviews,
  subjectAccessReviews,
  localSubjectAccessReviews,
  selfSubjectRulesReviews,
];

function checkQuestion({ resourceAttributes, nonResourceAttributes }: Question): Fault[] {
  if (resourceAttributes === undefined && nonResourceAttributes === undefined) {
    return [required("spec.resourceAttributes", "either this or nonResourceAttributes must be given")];
  }
  if (resourceAttributes === undefined) return [];
  const both = nonResourceAttributes === undefined ? [] : [forbidden("spec.nonResourceAttributes", "resourceAttributes are given already")];
  return [...both, ...checkSelectors(resourceAttributes)];
}

function checkSelectors({ fieldSelector, labelSelector }: ResourceAttributes): Fault[] {
  return Object.entries({ fieldSelector, labelSelector }).flatMap(([field, selector]) =>
    selector?.rawSelector && (selector.requirements ?? []).length > 0
      ? [forbidden(`spec.resourceAttributes.${field}.rawSelector`, "requirements are given already")]
      : [],
  );
}

function checkSubject({ user, groups = [] }: SubjectAccessReviewSpec): Fault[] {
  return !user && groups.length === 0 ? [required("spec.user", "a user or a group must be given")] : [];
}

function subject({ user = "", groups = [] }: SubjectAccessReviewSpec): UserInfo {
  return { name: user, groups };
}

function decide(user: UserInfo, { resourceAttributes, nonResourceAttributes = {} }: Question): { allowed: boolean; reason?: string } {
  const { allowed, reason } =
    resourceAttributes === undefined ? decidePath(user, nonResourceAttributes) : decideResource(user, resourceAttributes);
  return reason === "" ? { allowed } : { allowed, reason };
}

function decidePath(user: UserInfo, { verb = "", path = "" }: NonResourceAttributes) {
  return authorize(user, { verb, path, group: "", resource: "", namespace: "", name: "" });
}

function decideResource(user: UserInfo, attributes: ResourceAttributes) {
  const { verb = "", group = "", resource = "", subresource, namespace = "", name = "" } = attributes;
  return authorize(user, { verb, path: "", group, resource: subresource ? `${resource}/${subresource}` : resource, namespace, name });
}
