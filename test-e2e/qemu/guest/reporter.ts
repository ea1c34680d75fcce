/** Tells each test's end in a line of its own, which the host finds on the serial console among whatever else is written there. */
import type { TestEvent } from "node:test/reporters";
import { inspect } from "node:util";

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    if (event.type === "test:stdout" || event.type === "test:stderr") yield event.data.message;
    else if (event.type === "test:summary" && event.data.file !== undefined) yield line({ event: "file", file: event.data.file });
    else if ((event.type === "test:pass" || event.type === "test:fail") && event.data.details.type !== "suite") {
      const { name, file = "", skip, details } = event.data;
      const error =
        event.type === "test:fail" ? inspect(event.data.details.error.cause ?? event.data.details.error, { depth: 4 }) : undefined;
      const skipped = skip === undefined ? undefined : String(skip);
      yield line({ event: "test", file, name, milliseconds: Math.round(details.duration_ms), error, skipped });
    }
  }
}

function line(content: object): string {
  return `\n@${JSON.stringify(content)}\n`;
}
