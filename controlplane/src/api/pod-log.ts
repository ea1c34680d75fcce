import { TesseraError } from "@tessera/proto";
import type { StreamFrame } from "@tessera/proto/node";
import type { NodeStream } from "../nodes/node-streams.ts";
import type { Call } from "./call.ts";
import type { ApiResponse } from "./http.ts";
import { findContainer } from "./pod-container.ts";
import { streamError } from "./stream-end.ts";
import { isTrue } from "./watch.ts";

/** GET pods/log: what a container wrote, as text; with `follow` until it ends. */
export async function readPodLog(call: Call): Promise<ApiResponse> {
  const { request, dependencies } = call;
  const { query } = request;
  const follow = isTrue(query.get("follow"));
  const { nodeName, podUid, container } = await findContainer(call);
  const options = {
    podUid,
    container,
    follow,
    previous: isTrue(query.get("previous")),
    timestamps: isTrue(query.get("timestamps")),
    sinceTime: parseSince(query, dependencies.now()),
    tailLines: parseOption(query, "tailLines", 0),
    limitBytes: parseOption(query, "limitBytes", 1),
    only: parseStream(query),
  };
  const stream = await dependencies.nodeStreams.open(nodeName, { $case: "log", value: options }, request.signal);
  const frames = stream.frames[Symbol.asyncIterator]();
  try {
    // A log that is not followed has a beginning or an end at once: a refusal can still become the answer's status.
    const first = follow ? undefined : await frames.next();
    if (first !== undefined && first.done !== true) throwIfFailed(first.value);
    return {
      status: 200,
      headers: { "content-type": "text/plain; charset=utf-8" },
      body: logBytes(stream, frames, first),
      live: follow,
    };
  } catch (error) {
    stream.close();
    throw error;
  }
}

async function* logBytes(
  stream: NodeStream,
  frames: AsyncIterator<StreamFrame>,
  first: IteratorResult<StreamFrame> | undefined,
): AsyncGenerator<Buffer> {
  try {
    for (let next = first ?? (await frames.next()); next.done !== true; next = await frames.next()) {
      const { frame } = next.value;
      throwIfFailed(next.value);
      if (frame?.$case === "exit") return;
      if (frame?.$case === "stdout" || frame?.$case === "stderr") yield Buffer.from(frame.value);
    }
    throw new TesseraError("ServiceUnavailable", "the node ended the log without saying so");
  } finally {
    stream.close();
  }
}

function throwIfFailed({ frame }: StreamFrame): void {
  const error = frame?.$case === "exit" ? streamError(frame.value) : undefined;
  if (error !== undefined) throw error;
}

function parseOption(query: URLSearchParams, name: string, min: number): bigint | undefined {
  const text = query.get(name) ?? "";
  // kubectl sends tailLines=-1 for "all".
  if (text === "" || (name === "tailLines" && text === "-1")) return undefined;
  if (/^\d{1,18}$/.test(text) && Number(text) >= min) return BigInt(text);
  throw new TesseraError(
    "Invalid",
    `PodLogOptions is invalid: ${name}: Invalid value: ${JSON.stringify(text)}: must be an integer not less than ${min}`,
  );
}

/** Which of the container's streams is wanted; undefined: both. */
function parseStream(query: URLSearchParams): string | undefined {
  const stream = query.get("stream") ?? "";
  if (stream === "" || stream === "All") return undefined;
  const refuse = (why: string) => new TesseraError("Invalid", `PodLogOptions is invalid: ${why}`);
  if (stream !== "Stdout" && stream !== "Stderr")
    throw refuse(`stream: Unsupported value: ${JSON.stringify(stream)}: supported values: "All", "Stdout", "Stderr"`);
  // The end of one stream cannot be found from the end of both.
  if (parseOption(query, "tailLines", 0) !== undefined)
    throw refuse("tailLines: Forbidden: `tailLines` and specific `stream` are mutually exclusive for now");
  return stream.toLowerCase();
}

/** RFC 3339; "" for the beginning. */
function parseSince(query: URLSearchParams, nowMs: number): string {
  const time = query.get("sinceTime") ?? "";
  const seconds = parseOption(query, "sinceSeconds", 1);
  if (time !== "" && seconds !== undefined) {
    throw new TesseraError(
      "Invalid",
      "PodLogOptions is invalid: sinceSeconds: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
    );
  }
  if (seconds !== undefined) return new Date(nowMs - Number(seconds) * 1000).toISOString();
  if (time === "") return "";
  if (Number.isNaN(Date.parse(time)))
    throw new TesseraError("BadRequest", `sinceTime: Invalid value: ${JSON.stringify(time)}: must be a time as in RFC 3339`);
  return time;
}
