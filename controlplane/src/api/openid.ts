import type { ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import { type ApiRequest, type ApiResponse, jsonResponse } from "./http.ts";

/**
 * What others need to check tokens of service accounts by themselves (OpenID Connect Discovery 1.0, as far as there is no login behind it); undefined for
 * other paths.
 */
export function openIdDocument(request: ApiRequest, { issuer, jwks }: ServiceAccountTokens): ApiResponse | undefined {
  if (request.path === "/openid/v1/jwks") return jsonResponse(jwks, 200, "application/jwk-set+json");
  if (request.path !== "/.well-known/openid-configuration") return undefined;
  const authority = request.headers[":authority"] ?? request.headers.host ?? "kubernetes.default.svc";
  return jsonResponse({
    issuer,
    jwks_uri: `https://${String(authority)}/openid/v1/jwks`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["ES256"],
  });
}
