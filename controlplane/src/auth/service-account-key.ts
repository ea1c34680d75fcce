import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type SigningKey, toSigningKey } from "./jwt.ts";
import { writeSecretFile } from "./pki.ts";

const fileName = "service-accounts.key";

/** Reads the key of DIR/service-accounts.key that signs the tokens of service accounts; makes it when there is none. */
export async function openServiceAccountKey(dir: string): Promise<SigningKey> {
  const path = join(dir, fileName);
  let pem: string;
  try {
    pem = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await writeSecretFile(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString());
    return toSigningKey(privateKey);
  }
  const privateKey = createPrivateKey(pem);
  if (privateKey.asymmetricKeyDetails?.namedCurve !== "prime256v1") throw new Error(`${path}: expected an EC key on P-256`);
  return toSigningKey(privateKey);
}
