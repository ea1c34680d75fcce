import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface TestPki {
  /** Files in PEM. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** An authority and a certificate of it for loopback. */
export async function makePki(folder: string): Promise<TestPki> {
  const at = (name: string) => join(folder, name);
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  await run("openssl", ["req", "-x509", ...curve, "-subj", "/CN=test authority", "-keyout", at("ca.key"), "-out", at("ca.crt")]);
  writeFileSync(at("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  await run("openssl", [
    "req",
    "-new",
    ...curve.slice(0, 5),
    "-subj",
    "/CN=registry",
    "-keyout",
    at("server.key"),
    "-out",
    at("server.csr"),
  ]);
  await run("openssl", [
    ...["x509", "-req", "-in", at("server.csr"), "-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "2"],
    ...["-extfile", at("names"), "-out", at("server.crt")],
  ]);
  return { ca: at("ca.crt"), certificate: at("server.crt"), key: at("server.key") };
}
