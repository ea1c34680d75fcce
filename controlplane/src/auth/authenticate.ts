import { TesseraError } from "@tessera/proto";
import type { ServiceAccountTokens } from "./service-account-tokens.ts";
import type { TokenTable, UserInfo } from "./tokens.ts";

/** The group of everybody who proved who they are. */
export const authenticatedGroup = "system:authenticated";
export const mastersGroup = "system:masters";
export const nodesGroup = "system:nodes";

/** What the connection and the request say of their sender. */
export interface Credentials {
  /** Subject of a client certificate that the TLS layer verified against the cluster's CA. */
  readonly certificate?: { readonly commonName: string; readonly organizations: readonly string[] };
  /** The Authorization header. */
  readonly authorization?: string;
}

/** Client certificate (CN is the user, O are the groups) or bearer token, ours or a service account's; anything else is "Unauthorized". */
export function authenticate(credentials: Credentials, tokens: TokenTable, serviceAccounts: Pick<ServiceAccountTokens, "check">): UserInfo {
  const { certificate, authorization } = credentials;
  if (certificate !== undefined && certificate.commonName !== "") {
    return { name: certificate.commonName, groups: [...certificate.organizations, authenticatedGroup] };
  }
  const token = /^Bearer +([^ ]+)$/i.exec(authorization ?? "")?.[1];
  const user = token === undefined ? undefined : (tokens.find(token) ?? serviceAccounts.check(token)?.user);
  if (user === undefined) throw new TesseraError("Unauthorized", "Unauthorized");
  return { ...user, groups: [...user.groups, authenticatedGroup] };
}
