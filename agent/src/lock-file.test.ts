import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import type { TesseraError } from "@tessera/proto";
import { lockFolder } from "./lock-file.ts";

it("lets one agent at a time work with a folder, and names the other", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tessera-lock-"));
  try {
    const unlock = lockFolder(join(folder, "data"));
    assert.throws(
      () => lockFolder(join(folder, "data")),
      (error: TesseraError) => {
        assert.equal(error.reason, "Conflict");
        assert.ok(error.message.includes(`another agent (process ${process.pid})`), error.message);
        return true;
      },
    );
    const unlockOther = lockFolder(join(folder, "other"));
    unlock();
    lockFolder(join(folder, "data"))();
    unlockOther();
  } finally {
    await rm(folder, { recursive: true });
  }
});
