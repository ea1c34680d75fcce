import { TesseraError } from "@tessera/proto";

/** What a person reads of an error on stderr: what happened, all causes, and what to try. */
export function describeError(error: unknown): string {
  if (!(error instanceof TesseraError)) {
    return error instanceof Error ? `error: ${error.stack ?? error.message}\n` : `error: ${String(error)}\n`;
  }
  const lines = [`error: ${error.message}`];
  // The message of an Invalid usually names one cause already; two and more read better below each other.
  if (error.causes.length > 1) {
    lines[0] = `error: ${headline(error)}`;
    for (const cause of error.causes) lines.push(`  ${cause.field ? `${cause.field}: ` : ""}${cause.message ?? cause.reason}`);
  }
  const hint = hintFor(error);
  if (hint !== undefined) lines.push(hint);
  return `${lines.join("\n")}\n`;
}

/** The part of a message before the causes that the server appended to it. */
function headline(error: TesseraError): string {
  const { field, message } = error.causes[0] ?? {};
  const appended = field && error.message.includes(field) ? field : message;
  const at = appended === undefined ? -1 : error.message.indexOf(appended);
  return at > 0 ? error.message.slice(0, at).replace(/[\s:[]+$/, "") : error.message;
}

function hintFor(error: TesseraError): string | undefined {
  switch (error.reason) {
    case "ServiceUnavailable":
      return error.message.includes("cannot reach the server")
        ? `hint: is the cluster up? "tsctl dev status" shows it, "tsctl dev up" brings it up again`
        : undefined;
    case "Unauthorized":
      return 'hint: the server does not know the certificate or token of this kubeconfig context; "tsctl dev kubeconfig --merge" renews that of a development cluster';
    case "Conflict":
      return "hint: somebody else changed it in the meantime; run the same command again";
    default:
      return undefined;
  }
}
