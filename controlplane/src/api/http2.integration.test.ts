import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { after, before, test } from "node:test";
import { podNamed } from "./testing/objects.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

const pods = "/api/v1/namespaces/default/pods";

let api: TestApi;
before(async () => {
  api = await startTestApi();
});
after(() => api[Symbol.asyncDispose]());

/** A connection with the administrator's certificate, or without one. */
async function dial(withCertificate = true): Promise<ClientHttp2Session & AsyncDisposable> {
  const [cert, key] = await Promise.all([readFile(`${api.pki.dir}/admin.crt`), readFile(`${api.pki.dir}/admin.key`)]);
  const session = connect(api.url, { ca: api.pki.authority.pair.certPem, ...(withCertificate ? { cert, key } : {}) });
  session.on("error", () => {});
  await once(session, "connect");
  assert.equal(session.alpnProtocol, "h2");
  return Object.assign(session, { [Symbol.asyncDispose]: async () => session.destroy() });
}

async function answerOf(stream: ClientHttp2Stream): Promise<{ status: number; text: string }> {
  const [headers] = await once(stream, "response");
  let text = "";
  for await (const chunk of stream) text += chunk;
  return { status: headers[":status"], text };
}

test("an object is made and read, with the rights of the connection's certificate", async () => {
  await using session = await dial();
  const post = session.request({ ":method": "POST", ":path": pods, "content-type": "application/json" });
  post.end(JSON.stringify(podNamed("two")));
  assert.equal((await answerOf(post)).status, 201);
  const { status, text } = await answerOf(session.request({ ":path": `${pods}/two` }));
  assert.deepEqual([status, JSON.parse(text).metadata.name], [200, "two"]);
  await using stranger = await dial(false);
  assert.equal((await answerOf(stranger.request({ ":path": `${pods}/two` }))).status, 401);
});

test("a watch sends at once what happens, beside other requests of its connection", async () => {
  await using session = await dial();
  const watch = session.request({ ":path": `${pods}?watch=true&fieldSelector=metadata.name%3Dseen` });
  await once(watch, "response");
  const post = session.request({ ":method": "POST", ":path": pods, "content-type": "application/json" });
  post.end(JSON.stringify(podNamed("seen")));
  assert.equal((await answerOf(post)).status, 201);
  const [line] = await once(watch, "data");
  assert.match(line.toString(), /^\{"type":"ADDED".*"name":"seen"/);
  watch.close(constants.NGHTTP2_CANCEL);
});

test("a hundred requests at once are answered on one connection", async () => {
  await using session = await dial();
  const answers = await Promise.all(Array.from({ length: 100 }, async () => await answerOf(session.request({ ":path": "/version" }))));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
});

test("a client that opens streams only to drop them loses its connection, and nobody else does", async () => {
  await using attacker = await dial();
  await using other = await dial();
  const isOver = () => attacker.destroyed || attacker.closed;
  const nextTurn = () => new Promise((resolve) => setImmediate(resolve));
  let opened = 0;
  while (!isOver() && opened < 20_000) {
    const streams: ClientHttp2Stream[] = [];
    for (let i = 0; i < 50 && !isOver(); i++) streams.push(attacker.request({ ":path": pods }).on("error", () => {}));
    opened += streams.length;
    // Dropped before it has left a request would not be sent at all.
    await nextTurn();
    for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
    await nextTurn();
  }
  assert.ok(isOver(), `still there after ${opened} streams`);
  assert.equal((await answerOf(other.request({ ":path": "/version" }))).status, 200);
});

test("a WebSocket's route asked for by HTTP/2 is refused in words", async () => {
  await using session = await dial();
  await answerOf(session.request({ ":path": `${pods}/two/exec?command=a&stdout=true` })).then(({ status, text }) =>
    assert.deepEqual([status, JSON.parse(text).message], [400, "Upgrade request required"]),
  );
});
