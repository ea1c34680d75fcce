import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  collide,
  elementChanges,
  elementRemoval,
  findHolder,
  type HostPortState,
  hasHostPortTable,
  parseHostPortState,
  toSpecs,
} from "./host-port-rules.ts";
import type { HostPort, HostPortsSpec } from "./node-network.ts";

const tcp = (port: number, address = "0.0.0.0"): HostPort => ({ protocol: "TCP", address, port });
const WEB: HostPortsSpec = {
  id: "web",
  address: "10.64.1.2",
  ports: [
    { ...tcp(8080), podPort: 80 },
    { protocol: "UDP", address: "192.0.2.1", port: 53, podPort: 5353 },
  ],
};
const NOTHING: HostPortState = { elements: [], hairpins: [] };
/** As nft 1.0.6 prints it. */
const LISTED = JSON.stringify({
  nftables: [
    { metainfo: { version: "1.0.6" } },
    { table: { family: "ip", name: "tessera-host-ports", handle: 1 } },
    { map: { name: "ports", elem: [[{ elem: { val: { concat: [6, 8080] }, comment: "web" } }, { concat: ["10.64.1.2", 80] }]] } },
    {
      map: {
        name: "address-ports",
        elem: [[{ elem: { val: { concat: ["192.0.2.1", 17, 53] }, comment: "web" } }, { concat: ["10.64.1.2", 5353] }]],
      },
    },
    { set: { name: "hairpins", elem: [{ elem: { val: { concat: ["10.64.1.2", "10.64.1.2"] }, comment: "web" } }] } },
    { chain: { name: "to-pod" } },
  ],
});

describe("host ports in packet rules", () => {
  it("are added with whose they are", () => {
    assert.deepEqual(elementChanges(NOTHING, WEB).split("\n"), [
      'add element ip tessera-host-ports ports { 6 . 8080 comment "web" : 10.64.1.2 . 80 }',
      'add element ip tessera-host-ports address-ports { 192.0.2.1 . 17 . 53 comment "web" : 10.64.1.2 . 5353 }',
      'add element ip tessera-host-ports hairpins { 10.64.1.2 . 10.64.1.2 comment "web" }',
    ]);
  });

  it("are read back as they were written", () => {
    assert.deepEqual(toSpecs(parseHostPortState(LISTED)), [WEB]);
    assert.deepEqual(parseHostPortState(LISTED).hairpins, [{ id: "web", podAddress: "10.64.1.2" }]);
  });

  it("lose what the pod had before and does not want", () => {
    const changes = elementChanges(parseHostPortState(LISTED), { ...WEB, address: "10.64.1.9", ports: WEB.ports.slice(0, 1) });
    assert.deepEqual(changes.split("\n"), [
      "delete element ip tessera-host-ports ports { 6 . 8080 }",
      "delete element ip tessera-host-ports address-ports { 192.0.2.1 . 17 . 53 }",
      "delete element ip tessera-host-ports hairpins { 10.64.1.2 . 10.64.1.2 }",
      'add element ip tessera-host-ports ports { 6 . 8080 comment "web" : 10.64.1.9 . 80 }',
      'add element ip tessera-host-ports hairpins { 10.64.1.9 . 10.64.1.9 comment "web" }',
    ]);
  });

  it("are taken away with all that is the pod's, and nothing of another", () => {
    const state = parseHostPortState(LISTED);
    assert.deepEqual(elementRemoval(state, "web").split("\n"), [
      "delete element ip tessera-host-ports ports { 6 . 8080 }",
      "delete element ip tessera-host-ports address-ports { 192.0.2.1 . 17 . 53 }",
      "delete element ip tessera-host-ports hairpins { 10.64.1.2 . 10.64.1.2 }",
    ]);
    assert.equal(elementRemoval(state, "other"), "");
  });

  it("belong to nobody without a comment, and are told all the same", () => {
    const text = JSON.stringify({ nftables: [{ map: { name: "ports", elem: [[{ concat: [6, 80] }, { concat: ["10.64.1.2", 80] }]] } }] });
    assert.deepEqual(toSpecs(parseHostPortState(text)), [{ id: "", address: "10.64.1.2", ports: [{ ...tcp(80), podPort: 80 }] }]);
  });

  it("that nobody can read are an error, not nothing", () => {
    for (const elem of [["x"], [[{ concat: [6] }, { concat: ["10.64.1.2", 80] }]], [[{ concat: [1, 80] }, { concat: ["10.64.1.2", 80] }]]])
      assert.throws(() => parseHostPortState(JSON.stringify({ nftables: [{ map: { name: "ports", elem } }] })), /is not Tessera's/);
    assert.throws(() => parseHostPortState("{}"), /is not Tessera's/);
  });

  it("are in a table that may not be there", () => {
    assert.equal(hasHostPortTable(LISTED), true);
    assert.equal(hasHostPortTable(JSON.stringify({ nftables: [{ table: { name: "tessera" } }] })), false);
  });

  it("collide as sockets do", () => {
    assert.equal(collide(tcp(80), tcp(80)), true);
    assert.equal(collide(tcp(80), tcp(80, "127.0.0.1")), true);
    assert.equal(collide(tcp(80, "192.0.2.1"), tcp(80, "127.0.0.1")), false);
    assert.equal(collide(tcp(80), tcp(81)), false);
    assert.equal(collide(tcp(80), { ...tcp(80), protocol: "SCTP" }), false);
  });

  it("have a holder, which a pod is not of its own", () => {
    const state = parseHostPortState(LISTED);
    assert.equal(findHolder(tcp(8080, "127.0.0.1"), "other", state), "web");
    assert.equal(findHolder(tcp(8080), "web", state), undefined);
    assert.equal(findHolder(tcp(53, "192.0.2.1"), "other", state), undefined);
  });
});
