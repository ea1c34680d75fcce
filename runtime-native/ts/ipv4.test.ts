import assert from "node:assert/strict";
import { test } from "node:test";
import { contains, formatAddress, formatCidr, parseAddress, parseCidr } from "./ipv4.ts";

test("addresses and networks are read as they are written", () => {
  for (const text of ["0.0.0.0", "10.64.3.7", "255.255.255.255", "192.0.2.1"]) assert.equal(formatAddress(parseAddress(text)), text);
  for (const text of ["0.0.0.0/0", "10.64.0.0/16", "10.64.3.128/25", "10.1.2.3/32", "128.0.0.0/1"])
    assert.equal(formatCidr(parseCidr(text)), text);
});

test("what another program might read differently is refused", () => {
  const addresses = [
    "",
    "1",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.04",
    " 1.2.3.4",
    "1.2.3.4 ",
    "0x1.2.3.4",
    "1.2.3.-4",
    "::1",
    "1.2.3.4\n",
  ];
  for (const text of addresses)
    assert.throws(() => parseAddress(text), { name: "RuntimeError", reason: "InvalidArgument" }, JSON.stringify(text));
  const networks = ["10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.1/24", "10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/ 8"];
  for (const text of networks) assert.throws(() => parseCidr(text), { reason: "InvalidArgument" }, JSON.stringify(text));
});

test("a network contains its first and last address and none beside", () => {
  const cidr = parseCidr("10.64.3.0/24");
  assert.deepEqual(
    ["10.64.2.255", "10.64.3.0", "10.64.3.255", "10.64.4.0"].map((text) => contains(cidr, parseAddress(text))),
    [false, true, true, false],
  );
  assert.ok(contains(parseCidr("0.0.0.0/0"), parseAddress("255.255.255.255")));
  assert.ok(contains(parseCidr("255.255.255.255/32"), parseAddress("255.255.255.255")));
});
