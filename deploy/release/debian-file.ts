import { execFileSync } from "node:child_process";
import { readFileSync, realpathSync } from "node:fs";
import type { Component } from "./licences.ts";

/** A program of an installed Debian package that a release carries along. */
export interface DebianFile {
  readonly path: string;
  readonly component: Component;
}

/** Throws with what to install when the package is not there. */
export function findDebianFile(packageName: string, path: string, licence: string): DebianFile {
  const [version = "", builtUsing = ""] = query(["--show", "--showformat", `\${Version}\n\${Built-Using}`, packageName]).split("\n");
  const files = query(["-L", packageName]).split("\n");
  if (!files.includes(path)) throw new Error(`the Debian package ${packageName} has no ${path}`);
  const copyright = readFileSync(`/usr/share/doc/${packageName}/copyright`, "utf8");
  const texts = [copyright, ...commonLicences(copyright)];
  if (builtUsing !== "")
    texts.push(`Debian built it with these source packages of its archive, in which their licences are:\n${builtUsing}`);
  return { path: realpathSync(path), component: { name: `debian/${packageName}`, version, licence, texts } };
}

/** Full texts of the licences that Debian's copyright files only point to (https://www.debian.org/doc/debian-policy/ch-docs.html, 12.5). */
function commonLicences(copyright: string): string[] {
  const paths = copyright.match(/\/usr\/share\/common-licenses\/[\w.-]*\w/g) ?? [];
  return [...new Set(paths)].map((path) => readFileSync(path, "utf8"));
}

function query(args: readonly string[]): string {
  try {
    return execFileSync("dpkg-query", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    throw new Error(`the Debian package ${args.at(-1)} is not installed: run "sh scripts/setup.sh" first`, { cause: error });
  }
}
