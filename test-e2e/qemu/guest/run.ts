/**
 * Runs the test files that its arguments name, in that order, as many at a time as the machine has processors, and tells each test's end in
 * a line of its own, which the host finds on the serial console among whatever else is written there.
 */
import { availableParallelism } from "node:os";
import { run } from "node:test";
import type { TestEvent } from "node:test/reporters";
import { inspect } from "node:util";

/** Of each test. The host has a deadline for all of them. */
const timeoutMs = 300_000;

function said(event: TestEvent): string | undefined {
  if (event.type === "test:stdout" || event.type === "test:stderr") return event.data.message;
  if (event.type === "test:summary" && event.data.file !== undefined) return line({ event: "file", file: event.data.file });
  if ((event.type !== "test:pass" && event.type !== "test:fail") || event.data.details.type === "suite") return undefined;
  const { name, file = "", skip, details } = event.data;
  const error = event.type === "test:fail" ? inspect(event.data.details.error.cause ?? event.data.details.error, { depth: 4 }) : undefined;
  const skipped = skip === undefined ? undefined : String(skip);
  return line({ event: "test", file, name, milliseconds: Math.round(details.duration_ms), error, skipped });
}

function line(content: object): string {
  return `\n@${JSON.stringify(content)}\n`;
}

// The runner keeps what a file says until all earlier ones have ended.
const files = process.argv.slice(2);
for await (const event of run({ files, concurrency: availableParallelism(), timeout: timeoutMs })) {
  const text = said(event);
  if (text !== undefined) process.stdout.write(text);
}
