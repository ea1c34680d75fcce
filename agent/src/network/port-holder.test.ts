import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { listeningInodes } from "./port-holder.ts";

const HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const row = (local: string, state: string, inode: number) =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0000000000000000 100 0 0 10 0`;
const table = (...rows: string[]) => [HEADER, ...rows, ""].join("\n");
const tcp = (address: string) => ({ protocol: "TCP", address, port: 8080 }) as const;

describe("who listens", () => {
  const sockets = table(
    row("00000000:1F90", "0A", 1),
    row("0100007F:1F90", "0A", 2),
    row("0100007F:1F90", "01", 3),
    row("00000000:1F91", "0A", 4),
  );

  it("on a port at any address is everybody who listens on it", () => {
    assert.deepEqual(listeningInodes(sockets, tcp("0.0.0.0")), ["1", "2"]);
  });

  it("on a port at one address is who listens there, or everywhere", () => {
    assert.deepEqual(listeningInodes(sockets, tcp("127.0.0.1")), ["1", "2"]);
    assert.deepEqual(listeningInodes(sockets, tcp("192.0.2.1")), ["1"]);
  });

  it("may be a socket of IPv6 that takes IPv4 as well", () => {
    const six = table(
      row("00000000000000000000000000000000:1F90", "0A", 5),
      row("0000000000000000FFFF0000010200C0:1F90", "0A", 6),
      row("00000000000000000000000001000000:1F90", "0A", 7),
    );
    assert.deepEqual(listeningInodes(six, tcp("192.0.2.1")), ["5", "6"]);
  });

  it("of UDP has another state", () => {
    const udp = table(row("00000000:1F90", "07", 8), row("00000000:1F90", "01", 9));
    assert.deepEqual(listeningInodes(udp, { ...tcp("0.0.0.0"), protocol: "UDP" }), ["8"]);
  });
});
