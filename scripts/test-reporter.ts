/** A terse reporter: one line per file, failures in full, and a closing line of counts that run-tests.ts adds up. */
import { relative } from "node:path";
import type { TestEvent } from "node:test/reporters";
import { inspect } from "node:util";

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  for await (const event of source) {
    if (event.type === "test:stdout" || event.type === "test:stderr") {
      yield event.data.message;
      continue;
    }
    if (event.type === "test:summary" && event.data.file) {
      const { tests, passed, skipped, todo } = event.data.counts;
      const failed = tests - passed - skipped - todo;
      const verdict = failed === 0 ? "ok  " : "FAIL";
      yield `${verdict} ${relative(process.cwd(), event.data.file)}  ${passed} passed, ${failed} failed  ${Math.round(event.data.duration_ms)} ms\n`;
      continue;
    }
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    if (event.data.details.type === "suite") continue;
    const file = event.data.file ? relative(process.cwd(), event.data.file) : "";
    if (event.data.skip !== undefined || event.data.todo !== undefined) {
      totals.skipped++;
      yield `skip ${file}: ${event.data.name} (${event.data.skip || event.data.todo})\n`;
    } else if (event.type === "test:pass") {
      totals.passed++;
    } else {
      totals.failed++;
      yield `FAILED ${file}:${event.data.line ?? "?"} ${event.data.name}\n${inspect(event.data.details.error.cause ?? event.data.details.error, { depth: 6 })}\n`;
    }
  }
  yield `counts passed=${totals.passed} failed=${totals.failed} skipped=${totals.skipped}\n`;
}
