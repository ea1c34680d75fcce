import type { CertificateRequest } from "./certificate-authority.ts";

/** What the certificate of a node says; `certifiedNodeName` reads it again. */
export function nodeCertificate(nodeName: string): CertificateRequest {
  return { commonName: `system:node:${nodeName}`, organizations: ["system:nodes"], usages: ["client"] };
}
