import type { Readable } from "node:stream";
import { TesseraError } from "@tessera/proto";
import type { NodeStream } from "../nodes/node-streams.ts";
import { contentType } from "./body.ts";
import type { Call } from "./call.ts";
import { type ApiResponse, jsonResponse } from "./http.ts";
import { streamError } from "./stream-end.ts";

const maxFrameBytes = 64 * 1024;
/** Of the agent's answer, which is a few names. */
const maxAnswerBytes = 1024 * 1024;

/** GET nodes/images: what the node says it holds. */
export async function listNodeImages(call: Call): Promise<ApiResponse> {
  const { path, dependencies } = call;
  const node = (await dependencies.registry.nodes.read("", path.name)).value;
  return jsonResponse({ images: node.status?.images ?? [] });
}

/** POST nodes/images: an archive of images (OCI layout or `docker save`) for one node, streamed through as it arrives. */
export async function loadNodeImages(call: Call): Promise<ApiResponse> {
  const { path, request, dependencies } = call;
  const type = contentType(request);
  if (!["application/x-tar", "application/octet-stream", ""].includes(type)) {
    throw new TesseraError("UnsupportedMediaType", `images are loaded from application/x-tar, not from ${type}`);
  }
  await dependencies.registry.nodes.read("", path.name);
  const stream = await dependencies.nodeStreams.open(path.name, { $case: "imageLoad", value: {} }, request.signal);
  try {
    const answer = readAnswer(stream);
    // The node may refuse before it has all: then its answer counts, and not that it takes no more.
    const upload = sendArchive(stream, request.body).catch(() => {
      request.signal.throwIfAborted();
      return answer;
    });
    await Promise.race([answer, upload]);
    return jsonResponse({ images: await answer }, 201);
  } finally {
    stream.close();
  }
}

/** DELETE nodes/images?image=NAME: takes images from a node, without names all that no pod there uses. */
export async function removeNodeImages(call: Call): Promise<ApiResponse> {
  const { path, request, dependencies } = call;
  const images = request.query.getAll("image");
  if (images.includes("")) throw new TesseraError("BadRequest", "image: a name, a digest or an id is expected, not nothing");
  await dependencies.registry.nodes.read("", path.name);
  const stream = await dependencies.nodeStreams.open(path.name, { $case: "imageRemove", value: { images } }, request.signal);
  try {
    return jsonResponse({ images: await readAnswer(stream) });
  } finally {
    stream.close();
  }
}

async function sendArchive(stream: NodeStream, body: Readable): Promise<void> {
  // To destroy the body would take the connection along, and with it the answer.
  const pieces: AsyncIterable<Buffer> = body.iterator({ destroyOnReturn: false });
  try {
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; at += maxFrameBytes) {
        await stream.send({ frame: { $case: "stdin", value: piece.subarray(at, at + maxFrameBytes) } });
      }
    }
    await stream.send({ frame: { $case: "stdinClosed", value: {} } });
  } finally {
    // What the node did not want must leave the connection before it can bring the next request.
    body.resume();
  }
}

/** The names of the images, from JSON lines `{"image": NAME}`. */
async function readAnswer(stream: NodeStream): Promise<string[]> {
  let text = "";
  for await (const { frame } of stream.frames) {
    if (frame?.$case === "stdout") {
      text += Buffer.from(frame.value).toString();
      if (text.length > maxAnswerBytes) throw new TesseraError("InternalError", "the node's answer is too long");
    }
    if (frame?.$case !== "exit") continue;
    const error = streamError(frame.value);
    if (error !== undefined) throw error;
    return parseImages(text);
  }
  throw new TesseraError("ServiceUnavailable", "the node ended the stream without an answer");
}

function parseImages(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const { image } = JSON.parse(line) as { image?: unknown };
      if (typeof image !== "string") throw new TesseraError("InternalError", `the node answered ${line}, expected {"image": NAME}`);
      return image;
    });
}
