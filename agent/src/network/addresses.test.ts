import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { TesseraError } from "@tessera/proto";
import { AddressPool, readOwner } from "./addresses.ts";

describe("address pool", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tessera-addresses-"));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  async function pool(cidr: string, owners: string[] = []): Promise<AddressPool> {
    const addresses = new AddressPool(folder);
    await addresses.load(new Set(owners));
    addresses.setRange(cidr);
    return addresses;
  }

  it("gives each pod an address of its own, never the network's, the bridge's or the broadcast address", async () => {
    const addresses = await pool("10.1.2.0/29");
    const given = await Promise.all(["a", "b", "c", "d", "e"].map((owner) => addresses.allocate(owner)));
    assert.deepEqual(given, ["10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6"]);
    assert.equal(await addresses.allocate("c"), "10.1.2.4");
  });

  it("says which range has run dry, and tells who waits when an address is freed", async () => {
    const addresses = await pool("10.1.2.0/30");
    await addresses.allocate("a");
    await assert.rejects(addresses.allocate("b"), (error: TesseraError) => {
      assert.equal(error.reason, "ServiceUnavailable");
      assert.match(error.message, /no free address in 10\.1\.2\.0\/30: all 1 are in use/);
      return true;
    });
    let freed = 0;
    addresses.onFreed(() => {
      freed += 1;
    });
    await addresses.release("a");
    assert.equal(freed, 1);
    assert.equal(await addresses.allocate("b"), "10.1.2.2");
  });

  it("lets a freed address rest while others are free", async () => {
    const addresses = await pool("10.1.2.0/29");
    await addresses.allocate("a");
    await addresses.release("a");
    assert.equal(await addresses.allocate("b"), "10.1.2.3");
  });

  it("keeps addresses over a restart and frees those of pods that are no more, and what is no entry", async () => {
    const before = await pool("10.1.2.0/29");
    await before.allocate("stays");
    await before.allocate("goes");
    await writeFile(join(folder, "10.1.2.6"), "stays");
    const after = await pool("10.1.2.0/29", ["stays"]);
    assert.equal(after.addressOf("stays"), "10.1.2.2");
    assert.equal(after.addressOf("goes"), undefined);
    assert.deepEqual(await readdir(folder), ["10.1.2.2"]);
    assert.equal(await readOwner(folder, "10.1.2.2"), "stays");
  });

  it("leaves a pod its address when the node gets another range", async () => {
    const addresses = await pool("10.1.2.0/29");
    await addresses.allocate("old");
    addresses.setRange("10.9.0.0/24");
    assert.equal(addresses.addressOf("old"), "10.1.2.2");
    assert.equal(await addresses.allocate("new"), "10.9.0.2");
  });

  it("refuses what is no range", () => {
    for (const text of ["10.1.2.0", "10.1.2.0/33", "10.1.2/24", "a/24", "10.1.2.0/"]) {
      assert.throws(() => new AddressPool(folder).setRange(text), TesseraError, text);
    }
  });
});
