import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, deflateSync } from "node:zlib";
import { headerDictionary } from "./dictionary.ts";
import { encodeData, encodePing, encodeReset, encodeSynStream, type Frame, FrameReader, resetStatus } from "./frames.ts";
import { HeaderReader, HeaderWriter } from "./header-block.ts";
import { SpdyError } from "./spdy-error.ts";
import { SpdySession } from "./spdy-session.ts";
import type { SpdyStream } from "./spdy-stream.ts";

/** What kubectl 1.32 sends for a connection to port 80 that says "hello" and ends: an error stream, which it ends, and a data stream. */
const recorded = Buffer.from(
  "800300010000003d0000000100000000000078f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45a024cc6461c0c0c0c0590489c44c50e2663400000000ffff" +
    "0000000101000000" +
    "800300010000001a00000003000000000000826a25a406d56850299508000000ffff" +
    "000000030000000568656c6c6f" +
    "0000000301000000",
  "hex",
);

function client(options: { maxStreams?: number; stallTimeoutMs?: number; accepts?: boolean } = {}) {
  const frames: Frame[] = [];
  const reader = new FrameReader();
  const streams: SpdyStream[] = [];
  const session = new SpdySession({
    send: async (bytes) => {
      frames.push(...reader.push(bytes));
    },
    onStream: (stream) => (options.accepts === false ? undefined : () => streams.push(stream)),
    maxStreams: options.maxStreams ?? 10,
    stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
  });
  const headers = new HeaderWriter();
  const open = (id: number) => session.receive(encodeSynStream(id, headers.write(new Map([["port", "80"]]))));
  return { frames, streams, session, open, told: () => frames.map(({ type }) => type) };
}

async function textOf(stream: SpdyStream): Promise<string> {
  let text = "";
  for await (const data of stream) text += data;
  return text;
}

for (const size of [1, 7, recorded.length]) {
  test(`what kubectl sends is understood in pieces of ${size} bytes`, async () => {
    const { session, streams, frames } = client();
    for (let at = 0; at < recorded.length; at += size) await session.receive(recorded.subarray(at, at + size));
    assert.deepEqual(
      streams.map(({ headers }) => Object.fromEntries(headers)),
      [
        { port: "80", requestid: "0", streamtype: "error" },
        { port: "80", requestid: "0", streamtype: "data" },
      ],
    );
    const [error, data] = streams as [SpdyStream, SpdyStream];
    assert.deepEqual([await textOf(error), await textOf(data)], ["", "hello"]);
    await data.write(Buffer.from("answer"));
    await data.end();
    await error.end();
    const reader = new HeaderReader();
    for (const reply of frames) if ("block" in reply) assert.equal((await reader.read(reply.block)).size, 0);
    assert.deepEqual(
      frames.map((frame) => ("stream" in frame ? `${frame.type} ${frame.stream}${"fin" in frame && frame.fin ? " fin" : ""}` : frame.type)),
      ["synReply 1", "synReply 3", "data 3", "data 3 fin", "data 1 fin"],
    );
  });
}

test("a reset stream is over for who reads and who writes it; the others go on", async () => {
  const { session, streams, open, frames } = client();
  await open(1);
  await open(3);
  const [first, second] = streams as [SpdyStream, SpdyStream];
  const reading = textOf(first);
  await session.receive(encodeReset(1, resetStatus.cancel));
  await assert.rejects(reading, /the client reset the stream/);
  await assert.rejects(first.write(Buffer.from("x")), /reset/);
  assert.ok(first.broken.aborted);
  // Late data of it is dropped.
  await session.receive(encodeData(1, Buffer.from("late"), true));
  await session.receive(encodeData(3, Buffer.from("on"), true));
  assert.equal(await textOf(second), "on");
  first.reset();
  assert.equal(frames.filter(({ type }) => type === "rstStream").length, 0);
});

test("pings are answered, and only the client's", async () => {
  const { session, frames } = client();
  await session.receive(Buffer.concat([encodePing(5), encodePing(2)]));
  assert.deepEqual(frames, [{ type: "ping", id: 5 }]);
});

test("more streams than allowed, and those of no use, are refused one by one", async () => {
  const { open, streams, frames, told } = client({ maxStreams: 1 });
  await open(1);
  await open(3);
  assert.deepEqual([told(), streams.length], [["synReply", "rstStream"], 1]);
  assert.deepEqual(frames[1], { type: "rstStream", stream: 3, status: resetStatus.refusedStream });
  const other = client({ accepts: false });
  await other.open(1);
  assert.deepEqual(other.told(), ["rstStream"]);
});

test("a stream that nobody reads stops the reading of all, but not for ever", async () => {
  const { session, streams, open, frames } = client({ stallTimeoutMs: 20 });
  for (const id of [1, 3, 5]) await open(id);
  const big = Buffer.alloc(2 * 1024 * 1024);
  await session.receive(encodeData(1, big, false));
  assert.deepEqual(frames.at(-1), { type: "rstStream", stream: 1, status: resetStatus.internalError });
  assert.ok(streams[0]?.broken.aborted);
  await session.receive(encodeData(3, Buffer.from("on"), true));
  assert.equal(await textOf(streams[1] ?? assert.fail()), "on");
});

test("a client with one connection waits as long as that needs", async () => {
  const { session, streams, open } = client({ stallTimeoutMs: 5 });
  await open(1);
  await open(3);
  const big = Buffer.alloc(2 * 1024 * 1024);
  let isTaken = false;
  const receiving = session.receive(encodeData(3, big, true)).then(() => {
    isTaken = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.ok(!isTaken);
  assert.equal((await textOf(streams[1] ?? assert.fail())).length, big.length);
  await receiving;
});

test("the end of the session breaks every stream", async () => {
  const { session, streams, open } = client();
  await open(1);
  session[Symbol.dispose]();
  await assert.rejects(textOf(streams[0] ?? assert.fail()), /the session ended/);
});

/** A header block as a compressor makes it. */
function block(content: Buffer): Buffer {
  return deflateSync(content, { dictionary: headerDictionary, finishFlush: constants.Z_SYNC_FLUSH });
}

const bad: { readonly [sentence: string]: Buffer } = {
  "an HTTP request": Buffer.from("\x80ET / HTTP/1.1\r\n"),
  "another version": Buffer.from("8002000600000004", "hex"),
  "a control frame without end": Buffer.from("80030001ffffffff", "hex"),
  "a stream with an even number": encodeSynStream(2, new HeaderWriter().write(new Map())),
  "headers that are no zlib stream": encodeSynStream(1, Buffer.from("nonsense")),
  "headers with another dictionary": encodeSynStream(1, deflateSync("x", { dictionary: Buffer.from("other") })),
  "headers that are cut off": encodeSynStream(1, block(Buffer.from("0000000200000004", "hex"))),
  "headers that blow up": encodeSynStream(1, block(Buffer.alloc(4_000_000))),
  "too many headers": encodeSynStream(1, block(Buffer.from("0000ffff", "hex"))),
};
for (const [sentence, bytes] of Object.entries(bad)) {
  test(`${sentence}: the session ends with a word`, async () => {
    const { session, told } = client();
    await assert.rejects(session.receive(bytes), SpdyError);
    assert.deepEqual(told(), ["goAway"]);
  });
}

test("a number that was used is not used again", async () => {
  const { open } = client();
  await open(5);
  await assert.rejects(open(5), /a stream of number 5 after 5/);
  await assert.rejects(open(3), /a stream of number 3 after 5/);
});
