import { TesseraError } from "@tessera/proto";

/** What grpc-js tells of the caller's connection. */
interface AuthContext {
  readonly sslPeerCertificate?: { readonly subject?: { readonly CN?: string | string[]; readonly O?: string | string[] } };
}

const COMMON_NAME_PREFIX = "system:node:";
const ORGANIZATION = "system:nodes";

/**
 * The node whose certificate the caller holds. TLS has checked that the cluster's CA signed it; here it is checked that it is a node's and not, say, a user's.
 * Throws TesseraError "Forbidden".
 */
export function certifiedNodeName(auth: AuthContext | null): string {
  const subject = auth?.sslPeerCertificate?.subject;
  const commonNames = [subject?.CN ?? []].flat();
  const organizations = [subject?.O ?? []].flat();
  const [commonName] = commonNames;
  if (commonNames.length !== 1 || !commonName?.startsWith(COMMON_NAME_PREFIX) || !organizations.includes(ORGANIZATION)) {
    const shown = commonNames.join(", ") || "no name";
    throw new TesseraError(
      "Forbidden",
      `the certificate of ${shown} is not a node's: wanted common name ${COMMON_NAME_PREFIX}NAME, organization ${ORGANIZATION}`,
    );
  }
  return commonName.slice(COMMON_NAME_PREFIX.length);
}
