import type { TesseraError } from "@tessera/proto";
import { describeError } from "../errors.ts";
import type { Manifest } from "./read-manifests.ts";

/** A server's refusal of a manifest, one line for each fault, with the place in the file that it is about. */
export function explainRefusal(error: TesseraError, manifest: Manifest): string {
  const causes = error.causes.filter((cause) => cause.field);
  if (causes.length === 0) return describeError(error).replace("error: ", `error: ${manifest.source} (line ${manifest.start.line}): `);
  const faults = causes.map(({ field = "", message = "", reason = "" }) => {
    const line = manifest.lineOf(field);
    // A server that saw the text itself says the line already.
    const said = (message || reason).replace(/ \(line \d+(, column \d+)?\)$/, "");
    return { line, text: `error: ${manifest.source}: ${said.startsWith(field) ? "" : `${field}: `}${said} (line ${line})\n` };
  });
  return faults
    .sort((one, other) => one.line - other.line)
    .map((fault) => fault.text)
    .join("");
}
