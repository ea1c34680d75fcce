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
  const version = query(["--show", packageName]).trim().split("\t")[1] ?? "";
  const files = query(["-L", packageName]).split("\n");
  if (!files.includes(path)) throw new Error(`the Debian package ${packageName} has no ${path}`);
  return {
    path: realpathSync(path),
    component: {
      name: `${packageName} (Debian)`,
      version,
      licence,
      texts: [readFileSync(`/usr/share/doc/${packageName}/copyright`, "utf8")],
    },
  };
}

function query(args: readonly string[]): string {
  try {
    return execFileSync("dpkg-query", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    throw new Error(`the Debian package ${args.at(-1)} is not installed: run "sh scripts/setup.sh" first`, { cause: error });
  }
}
