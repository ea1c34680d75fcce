import { stringify } from "yaml";
import type { KeyPair } from "./certificate-authority.ts";
import { writeSecretFile } from "./pki.ts";

/** Writes a kubeconfig with one context for a client certificate; everything is inlined, so the file can be copied anywhere. */
export async function writeKubeconfig(
  path: string,
  options: { server: string; caPem: string; user: KeyPair; name: string },
): Promise<void> {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: options.name, cluster: { server: options.server, "certificate-authority-data": base64(options.caPem) } }],
    users: [
      {
        name: `${options.name}-admin`,
        user: { "client-certificate-data": base64(options.user.certPem), "client-key-data": base64(options.user.keyPem) },
      },
    ],
    contexts: [{ name: options.name, context: { cluster: options.name, user: `${options.name}-admin` } }],
    "current-context": options.name,
  };
  await writeSecretFile(path, stringify(config, { lineWidth: 0 }));
}
