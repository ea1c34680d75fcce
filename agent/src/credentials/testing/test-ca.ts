import "reflect-metadata";
import { createPrivateKey, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A cluster's CA for tests, and what it issues. All PEM. */
export class TestCa {
  readonly #certificate: x509.X509Certificate;
  readonly #key: webcrypto.CryptoKey;

  private constructor(certificate: x509.X509Certificate, key: webcrypto.CryptoKey) {
    this.#certificate = certificate;
    this.#key = key;
  }

  static async create(): Promise<TestCa> {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const extensions = [new x509.BasicConstraintsExtension(true, 0, true)];
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: "CN=test ca",
      keys,
      signingAlgorithm: algorithm,
      extensions,
    });
    return new TestCa(certificate, keys.privateKey);
  }

  get pem(): string {
    return `${this.#certificate.toString("pem")}\n`;
  }

  /** A server's key and certificate for these names. */
  async server(names: readonly string[]): Promise<{ cert: string; key: string }> {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const extensions = [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: "dns", value })))];
    const cert = await this.#certify("CN=server", keys.publicKey, { extensions });
    return { cert, key: await toPem(keys.privateKey) };
  }

  /** A node's certificate for the key of a signing request. */
  async sign(csr: string, nodeName: string, notAfter = new Date(Date.now() + 3_600_000)): Promise<string> {
    const request = new x509.Pkcs10CertificateRequest(csr);
    if (!(await request.verify())) throw new Error("the request is not signed by its own key");
    return await this.#certify(`CN=system:node:${nodeName}, O=system:nodes`, await request.publicKey.export(algorithm, ["verify"]), {
      notAfter,
    });
  }

  async #certify(subject: string, publicKey: webcrypto.CryptoKey, more: Partial<x509.X509CertificateCreateParams>): Promise<string> {
    const issuer = this.#certificate.subjectName;
    const created = await x509.X509CertificateGenerator.create({
      ...{ subject, issuer, publicKey, signingKey: this.#key, signingAlgorithm: algorithm, notBefore: new Date(Date.now() - 3_600_000) },
      ...more,
    });
    return `${created.toString("pem")}\n`;
  }
}

async function toPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({ type: "pkcs8", format: "pem" }).toString();
}
