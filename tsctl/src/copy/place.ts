import { posix } from "node:path";
import { TesseraError } from "@tessera/proto";

/** One end of a copy. */
export type Place = PodPlace | { readonly is: "local"; readonly path: string } | { readonly is: "stdio" };

export interface PodPlace {
  readonly is: "pod";
  /** Undefined: that of the command. */
  readonly namespace: string | undefined;
  readonly pod: string;
  readonly path: string;
}

/** "[[namespace/]pod:]path", or "-". A local name with a colon is told apart by a path before it: "./a:b". */
export function parsePlace(text: string): Place {
  if (text === "-") return { is: "stdio" };
  const colon = text.indexOf(":");
  if (colon < 0 || /^[./]/.test(text)) return { is: "local", path: text };
  const path = text.slice(colon + 1);
  const [pod = "", namespace, ...more] = text.slice(0, colon).split("/").reverse();
  if (pod === "" || namespace === "" || more.length > 0)
    throw new TesseraError("BadRequest", `"${text}" names no pod: [NAMESPACE/]POD:PATH; a local file is ./${text}`);
  if (path === "") throw new TesseraError("BadRequest", `"${text}" says no path in the pod: ${text}PATH`);
  return { is: "pod", namespace, pod, path };
}

/** Folder and name, so that tar need not be told an absolute name. A path is relative to where the image starts its commands. */
export function splitPath(path: string): { readonly folder: string; readonly name: string } {
  const clean = posix.normalize(path).replace(/(?<=.)\/$/, "");
  const name = posix.basename(clean);
  return name === "" || name === ".." || name === "." ? { folder: clean, name: "." } : { folder: posix.dirname(clean), name };
}
