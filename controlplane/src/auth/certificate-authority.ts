import "reflect-metadata";
import { createPrivateKey, createPublicKey, type KeyObject, webcrypto, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";
import { TesseraError } from "@tessera/proto";

type CryptoKey = webcrypto.CryptoKey;

x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);

const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256" } as const;
const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" } as const;
const dayMs = 24 * 3600 * 1000;
/** Clocks of nodes may run behind ours. */
const longestBackdateMs = 5 * 60 * 1000;
const caLifetimeMs = 3650 * dayMs;
/** How long certificates are valid unless the settings say otherwise. */
export const defaultLifetimeMs = 365 * dayMs;

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
  /** Default `defaultLifetimeMs`. */
  readonly lifetimeMs?: number;
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
      ...validity(now(), caLifetimeMs),
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
    return { certPem: await this.#certify(keys.publicKey, request), keyPem: await exportKey(keys.privateKey) };
  }

  /**
   * A certificate for the key of a certificate signing request (PEM, PKCS#10), whose sender proves by it to hold the private key. What it says
   * is up to `request` alone. Throws TesseraError "BadRequest" for what is no request, is not signed by its own key, or has another kind of key.
   */
  async sign(csrPem: string, request: CertificateRequest): Promise<string> {
    return await this.#certify(await requestedKey(csrPem), request);
  }

  async #certify(publicKey: CryptoKey, request: CertificateRequest): Promise<string> {
    const subject: x509.JsonName = [{ CN: [request.commonName] }];
    for (const organization of request.organizations ?? []) subject.push({ O: [organization] });
    const usages = request.usages.map((usage) =>
      usage === "server" ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth,
    );
    const extensions: x509.Extension[] = [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
    ];
    if (request.names !== undefined && request.names.length > 0) {
      extensions.push(new x509.SubjectAlternativeNameExtension(request.names.map(generalName)));
    }
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: this.#certificate.subjectName,
      ...validity(this.#now(), request.lifetimeMs ?? defaultLifetimeMs),
      signingAlgorithm,
      publicKey,
      signingKey: this.#key,
      extensions,
    });
    return pem(certificate);
  }

  /**
   * Another certificate for the key of a pair that was issued before, so that on the disk one file changes, at once, and whoever reads both never
   * finds two that do not belong together. Undefined if they do not.
   */
  async renew(pair: KeyPair, request: CertificateRequest): Promise<KeyPair | undefined> {
    const privateKey = readKey(pair.keyPem);
    if (privateKey === undefined) return undefined;
    const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
    const publicKey = await webcrypto.subtle.importKey("spki", spki, keyAlgorithm, true, ["verify"]);
    return { certPem: await this.#certify(publicKey, request), keyPem: pair.keyPem };
  }

  /** Whether a pair that was issued before still serves: ours, not near its end, for the same subject and at least the same names. */
  serves(pair: KeyPair, request: CertificateRequest): boolean {
    try {
      const certificate = new X509Certificate(pair.certPem);
      if (!certificate.checkPrivateKey(createPrivateKey(pair.keyPem))) return false;
      if (!certificate.verify(new X509Certificate(this.pair.certPem).publicKey)) return false;
      if (renewalTime(certificate) <= this.#now()) return false;
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

/** When a certificate should be replaced: two thirds of its time are over. Milliseconds since 1970. */
export function renewalTime(certificate: X509Certificate): number {
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  return from + ((to - from) * 2) / 3;
}

function validity(nowMs: number, lifetimeMs: number): { notBefore: Date; notAfter: Date } {
  // A tenth at most, lest a short-lived certificate look old when it is made.
  const backdateMs = Math.min(longestBackdateMs, lifetimeMs / 10);
  return { notBefore: new Date(nowMs - backdateMs), notAfter: new Date(nowMs + lifetimeMs) };
}

async function requestedKey(csrPem: string): Promise<CryptoKey> {
  const bad = (what: string, cause?: unknown) => new TesseraError("BadRequest", `the certificate signing request ${what}`, { cause });
  let request: x509.Pkcs10CertificateRequest;
  let isProven: boolean;
  try {
    request = new x509.Pkcs10CertificateRequest(csrPem);
    isProven = await request.verify();
  } catch (cause) {
    throw bad("cannot be read: expected PKCS#10 in PEM", cause);
  }
  if (!isProven) throw bad("is not signed by the key that it names");
  const { name, namedCurve } = request.publicKey.algorithm as { name: string; namedCurve?: string };
  if (name !== keyAlgorithm.name || namedCurve !== keyAlgorithm.namedCurve) throw bad(`is for a ${name} key: expected ECDSA on P-256`);
  return await request.publicKey.export(keyAlgorithm, ["verify"]);
}

/** Undefined for what is no key of our kind. */
function readKey(keyPem: string): KeyObject | undefined {
  try {
    const key = createPrivateKey(keyPem);
    return key.asymmetricKeyDetails?.namedCurve === "prime256v1" ? key : undefined;
  } catch {
    // The caller makes a new one.
    return undefined;
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
