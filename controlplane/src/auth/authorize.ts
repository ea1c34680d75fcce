import type { NonResourceRule, ResourceRule } from "@tessera/proto";
import { nodesGroup } from "./authenticate.ts";
import { serviceAccountsGroup } from "./service-account-tokens.ts";
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

/** Whoever can be put into a pod must not have the cluster: see what is there, and who one is. */
const discoveryForServiceAccounts: Rules = {
  resourceRules: [
    { verbs: ["create"], apiGroups: ["authentication.k8s.io"], resources: ["selfsubjectreviews"] },
    { verbs: ["create"], apiGroups: ["authorization.k8s.io"], resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"] },
  ],
  nonResourceRules: [
    {
      verbs: ["get"],
      nonResourceURLs: [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/openapi",
        "/openapi/*",
        "/.well-known/openid-configuration",
        "/openid/v1/jwks",
        "/version",
      ],
    },
    { verbs: ["get"], nonResourceURLs: ["/healthz", "/livez", "/readyz"] },
  ],
  refusal: "service accounts may only discover the API and ask who they are until there is RBAC",
};

/**
 * The one place where rights are given. Until there is RBAC everybody who is authenticated may do everything, but for nodes, which have the node protocol and
 * nothing here, and service accounts.
 */
export function rulesFor(user: UserInfo): Rules {
  if (user.groups.includes(nodesGroup)) return nothingForNodes;
  return user.groups.includes(serviceAccountsGroup) ? discoveryForServiceAccounts : everything;
}

/** Whether a rule of the user's allows the request. */
export function authorize(user: UserInfo, { verb, path, group, resource }: Attributes): Decision {
  const { resourceRules, nonResourceRules, refusal } = rulesFor(user);
  const allowed =
    resource === ""
      ? nonResourceRules.some((rule) => names(rule.verbs, verb) && namesPath(rule.nonResourceURLs, path))
      : resourceRules.some((rule) => names(rule.verbs, verb) && names(rule.apiGroups, group) && names(rule.resources, resource));
  return { allowed, reason: allowed ? "" : refusal };
}

/** A path stands for itself, with an asterisk at its end for all that begin with it. */
function namesPath(list: readonly string[] | undefined, path: string): boolean {
  return list?.some((each) => each === path || (each.endsWith("*") && path.startsWith(each.slice(0, -1)))) ?? false;
}

function names(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes("*") || list.includes(value));
}
