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

/**
 * The one place where rights are decided. Until there is RBAC everybody who is authenticated may do everything, but for nodes:
 * they have the node protocol and nothing here.
 */
export function authorize(user: UserInfo, _attributes: Attributes): Decision {
  if (user.groups.includes(nodesGroup)) {
    return { allowed: false, reason: "nodes use the node protocol, not the HTTP API" };
  }
  return { allowed: true, reason: "" };
}
