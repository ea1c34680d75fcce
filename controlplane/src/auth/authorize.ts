import type { NonResourceRule, ResourceRule } from "@tessera/proto";
import { nodesGroup } from "./authenticate.ts";
import type { UserInfo } from "./tokens.ts";

/** What is asked for, as far as a decision needs it. */
export interface Attributes {
  readonly verb: string;
  readonly path: string;
  readonly group: string;
  /** With its subresource: "pods/exec"; "" for paths that are no resource. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

export interface Decision {
  readonly allowed: boolean;
  readonly reason: string;
}

/** Everything that a user may do. */
export interface Rules {
  readonly resourceRules: readonly ResourceRule[];
  readonly nonResourceRules: readonly NonResourceRule[];
  /** Why there is not more. */
  readonly refusal: string;
}

const everything: Rules = {
  resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
  nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
  refusal: "",
};

const nothingForNodes: Rules = {
  resourceRules: [],
  nonResourceRules: [],
  refusal: "nodes use the node protocol, not the HTTP API",
};

/**
 * The one place where rights are given. Until there is RBAC everybody who is authenticated may do everything, but for nodes: they have the
 * node protocol and nothing here.
 */
export function rulesFor(user: UserInfo): Rules {
  return user.groups.includes(nodesGroup) ? nothingForNodes : everything;
}

/** Whether a rule of the user's allows the request. */
export function authorize(user: UserInfo, { verb, path, group, resource }: Attributes): Decision {
  const { resourceRules, nonResourceRules, refusal } = rulesFor(user);
  const allowed =
    resource === ""
      ? nonResourceRules.some((rule) => names(rule.verbs, verb) && names(rule.nonResourceURLs, path))
      : resourceRules.some((rule) => names(rule.verbs, verb) && names(rule.apiGroups, group) && names(rule.resources, resource));
  return { allowed, reason: allowed ? "" : refusal };
}

function names(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes("*") || list.includes(value));
}
