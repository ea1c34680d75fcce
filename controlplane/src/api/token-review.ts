import type { TokenReview, TokenReviewStatus } from "@tessera/proto";
import { authenticatedGroup } from "../auth/authenticate.ts";
import type { ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import type { TokenTable } from "../auth/tokens.ts";
import { invalidObject } from "../registry/faults.ts";
import { formatTime } from "../registry/object-meta.ts";
import { decodeBody } from "./decode.ts";
import type { VirtualCall, VirtualResource } from "./discovery.ts";
import { type ApiResponse, jsonResponse, withWarnings } from "./http.ts";
import { toUserStatus } from "./user-status.ts";

/** "Whose token is this?": asked by services that get tokens from their callers. */
export function tokenReviews(tokens: TokenTable, serviceAccounts: ServiceAccountTokens): VirtualResource {
  const resource = {
    group: "authentication.k8s.io",
    version: "v1",
    kind: "TokenReview",
    plural: "tokenreviews",
    singular: "tokenreview",
    namespaced: false,
    verbs: ["create"],
  };
  const create = async ({ request, nowMs }: VirtualCall): Promise<ApiResponse> => {
    const { object, faults, warnings } = await decodeBody<TokenReview>(request, resource);
    const all = faults.filter((fault) => !fault.path.startsWith("status"));
    if (all.length > 0) throw invalidObject("TokenReview", resource.group, object.metadata?.name ?? "", all);
    const { token = "", audiences = [] } = object.spec ?? {};
    const metadata = { ...object.metadata, creationTimestamp: formatTime(nowMs) };
    const status = reviewToken(token, audiences.length > 0 ? audiences : [serviceAccounts.audience], tokens, serviceAccounts);
    return withWarnings(
      jsonResponse({ ...object, apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", metadata, status }, 201),
      warnings,
    );
  };
  return { ...resource, create };
}

function reviewToken(
  token: string,
  audiences: readonly string[],
  tokens: TokenTable,
  serviceAccounts: ServiceAccountTokens,
): TokenReviewStatus {
  const administrator = tokens.find(token);
  // These tokens are for the API server and nobody else.
  const known =
    administrator && audiences.includes(serviceAccounts.audience)
      ? { user: administrator, audiences: [serviceAccounts.audience] }
      : undefined;
  const found = known ?? serviceAccounts.check(token, audiences);
  if (found === undefined) return { error: "the token is not valid here, not for these audiences, or no longer" };
  const user = { ...found.user, groups: [...found.user.groups, authenticatedGroup] };
  return { authenticated: true, user: toUserStatus(user), audiences: [...found.audiences] };
}
