import assert from "node:assert/strict";
import type { TesseraError } from "@tessera/proto";

/** Fails unless `work` throws a TesseraError of that reason and with such a message. */
export function refuses(work: () => unknown, reason: string, message: RegExp): void {
  assert.throws(work, (error: TesseraError) => {
    assert.equal(error.reason, reason);
    assert.match(error.message, message);
    return true;
  });
}
