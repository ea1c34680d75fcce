import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  encodeFrame,
  Fields,
  FieldWriter,
  FrameReader,
  frames,
  headerSize,
  maxData,
  maxPayload,
  ProtocolError,
  tags,
} from "./shim-protocol.ts";

const header = readFileSync(join(import.meta.dirname, "../src/shim/protocol.h"), "utf8");

function table(name: string): Record<string, number> {
  const start = header.indexOf(`#define ${name}(X)`);
  assert.ok(start >= 0, name);
  const end = header.slice(start).search(/[^\\]\n/) + start;
  return Object.fromEntries([...header.slice(start, end + 1).matchAll(/X \((\w+), (\d+)\)/g)].map((match) => [match[1], Number(match[2])]));
}

test("frames, fields and limits are the shim's", () => {
  assert.deepEqual(table("TS_FRAMES"), { ...frames });
  assert.deepEqual(table("TS_TAGS"), { ...tags });
  assert.equal(Number(/TS_HEADER_SIZE = (\d+)/.exec(header)?.[1]), headerSize);
  assert.equal(/TS_MAX_PAYLOAD = ([\d* ]+)/.exec(header)?.[1]?.trim(), "4 * 1024 * 1024");
  assert.equal(maxPayload, 4 * 1024 * 1024);
  assert.equal(/TS_MAX_DATA = ([\d* ]+)/.exec(header)?.[1]?.trim(), "32 * 1024");
  assert.equal(maxData, 32 * 1024);
});

test("a payload is read back as it was written", () => {
  const payload = new FieldWriter()
    .string("CONTAINER", "äpp")
    .u32("PID", 4_294_967_295)
    .u64("STARTED_AT", 1_794_000_000_123)
    .fields("CONTAINER_STATE", (inner) => inner.u32("PID", 1))
    .fields("CONTAINER_STATE", (inner) => inner.u32("PID", 2))
    .finish();
  const fields = new Fields(payload);
  assert.equal(fields.string("CONTAINER"), "äpp");
  assert.equal(fields.u32("PID"), 4_294_967_295);
  assert.equal(fields.u64("STARTED_AT"), 1_794_000_000_123);
  assert.deepEqual(
    fields.all("CONTAINER_STATE").map((inner) => inner.u32("PID")),
    [1, 2],
  );
  assert.equal(fields.has("SIGNAL"), false);
});

test("frames are found however the stream is cut", () => {
  const first = encodeFrame("STDOUT", 7, Buffer.from("hello"));
  const second = encodeFrame("OK", 8);
  const third = encodeFrame("STDERR", 0, Buffer.alloc(70_000, "x"));
  const stream = Buffer.concat([first, second, third]);
  for (const size of [1, 5, 12, 13, 17, 4096, stream.length]) {
    const reader = new FrameReader();
    const seen: [number, number, number][] = [];
    for (let at = 0; at < stream.length; at += size)
      for (const frame of reader.push(stream.subarray(at, at + size))) seen.push([frame.type, frame.request, frame.payload.length]);
    assert.deepEqual(
      seen,
      [
        [frames.STDOUT, 7, 5],
        [frames.OK, 8, 0],
        [frames.STDERR, 0, 70_000],
      ],
      `pieces of ${size}`,
    );
  }
});

test("cut off or oversized data is refused", () => {
  const payload = new FieldWriter().string("STEP", "mount").finish();
  assert.throws(() => new Fields(payload.subarray(0, payload.length - 1)), ProtocolError);
  assert.throws(() => new Fields(payload.subarray(0, 3)), ProtocolError);
  assert.throws(() => new Fields(payload).u32("STEP"), ProtocolError);
  assert.throws(() => new Fields(payload).string("OPERAND"), ProtocolError);
  const huge = encodeFrame("OK", 1);
  huge.writeUInt32LE(maxPayload + 1, 0);
  assert.throws(() => new FrameReader().push(huge), ProtocolError);
  assert.throws(() => new FieldWriter().string("STEP", "a\0b"), RangeError);
});
