import "reflect-metadata";
import { createPrivateKey, webcrypto, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";

type CryptoKey = webcrypto.CryptoKey;

x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);

const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256" } as const;
const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" } as const;
const dayMs = 24 * 3600 * 1000;
/** Clocks of nodes may run behind ours. */
const backdateMs = 5 * 60 * 1000;

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  readonly certPem: string;
  readonly keyPem: string;
}

/** What a certificate is to say. */
export interface CertificateRequest {
  /** Becomes the user name of a client. */
  readonly commonName: string;
  /** Become the groups of a client. */
  readonly organizations?: readonly string[];
  readonly usages: readonly ("server" | "client")[];
  /** DNS names and IP addresses that a server answers to. */
  readonly names?: readonly string[];
  readonly validDays?: number;
}

/** Issues certificates (P-256, SHA-256) under one CA. Holds the CA's key in memory and touches no file. */
export class CertificateAuthority {
  readonly pair: KeyPair;
  readonly #certificate: x509.X509Certificate;
  readonly #key: CryptoKey;
  readonly #now: () => number;

  private constructor(pair: KeyPair, certificate: x509.X509Certificate, key: CryptoKey, now: () => number) {
    this.pair = pair;
    this.#certificate = certificate;
    this.#key = key;
    this.#now = now;
  }

  /** A new CA, valid for ten years. */
  static async create(commonName: string, now: () => number): Promise<CertificateAuthority> {
    const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: [{ CN: [commonName] }],
      notBefore: new Date(now() - backdateMs),
      notAfter: new Date(now() + 3650 * dayMs),
      signingAlgorithm,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    const pair = { certPem: pem(certificate), keyPem: await exportKey(keys.privateKey) };
    return new CertificateAuthority(pair, certificate, keys.privateKey, now);
  }

  /** The CA that was made before. Throws if the key is not the certificate's. */
  static async load(pair: KeyPair, now: () => number): Promise<CertificateAuthority> {
    const privateKey = createPrivateKey(pair.keyPem);
    if (!new X509Certificate(pair.certPem).checkPrivateKey(privateKey)) {
      throw new Error("the CA's private key does not belong to its certificate");
    }
    const der = privateKey.export({ type: "pkcs8", format: "der" });
    const key = await webcrypto.subtle.importKey("pkcs8", der, keyAlgorithm, false, ["sign"]);
    return new CertificateAuthority(pair, new x509.X509Certificate(pair.certPem), key, now);
  }

  /** A new key with a certificate that says what was asked for. */
  async issue(request: CertificateRequest): Promise<KeyPair> {
    const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
    const subject: x509.JsonName = [{ CN: [request.commonName] }];
    for (const organization of request.organizations ?? []) subject.push({ O: [organization] });
    const usages = request.usages.map((usage) =>
      usage === "server" ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth,
    );
    const extensions: x509.Extension[] = [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
    ];
    if (request.names !== undefined && request.names.length > 0) {
      extensions.push(new x509.SubjectAlternativeNameExtension(request.names.map(generalName)));
    }
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: this.#certificate.subjectName,
      notBefore: new Date(this.#now() - backdateMs),
      notAfter: new Date(this.#now() + (request.validDays ?? 365) * dayMs),
      signingAlgorithm,
      publicKey: keys.publicKey,
      signingKey: this.#key,
      extensions,
    });
    return { certPem: pem(certificate), keyPem: await exportKey(keys.privateKey) };
  }

  /** Whether a pair that was issued before still serves: ours, not near its end, for the same subject and at least the same names. */
  serves(pair: KeyPair, request: CertificateRequest, renewBeforeDays = 30): boolean {
    try {
      const certificate = new X509Certificate(pair.certPem);
      if (!certificate.checkPrivateKey(createPrivateKey(pair.keyPem))) return false;
      if (!certificate.verify(new X509Certificate(this.pair.certPem).publicKey)) return false;
      if (Date.parse(certificate.validTo) < this.#now() + renewBeforeDays * dayMs) return false;
      const subject = certificate.subject.split("\n");
      const wanted = [`CN=${request.commonName}`, ...(request.organizations ?? []).map((organization) => `O=${organization}`)];
      if (subject.length !== wanted.length || !wanted.every((part) => subject.includes(part))) return false;
      return (request.names ?? []).every((name) =>
        isIP(name) ? certificate.checkIP(name) !== undefined : certificate.checkHost(name) !== undefined,
      );
    } catch {
      // What cannot be parsed does not serve; the caller issues a new one.
      return false;
    }
  }
}

function generalName(name: string): x509.JsonGeneralName {
  return { type: isIP(name) ? "ip" : "dns", value: name };
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function exportKey(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key));
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({ type: "pkcs8", format: "pem" }).toString();
}
