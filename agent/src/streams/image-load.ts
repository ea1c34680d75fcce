import { TesseraError } from "@tessera/proto";
import type { ImageStore } from "../images/index.ts";
import type { StreamPeer } from "./stream-peer.ts";

/** Imports the archive that the stream brings and answers with a JSON line for each image. */
export async function serveImageLoad(images: Pick<ImageStore, "load">, peer: StreamPeer): Promise<string[]> {
  const names = await images.load(archive(peer), peer.signal);
  for (const image of names) await peer.send("stdout", Buffer.from(`${JSON.stringify({ image })}\n`));
  await peer.exit({});
  return names;
}

async function* archive(peer: StreamPeer): AsyncGenerator<Uint8Array> {
  for await (const frame of peer.frames()) {
    if (frame.$case === "stdin") yield frame.value;
    else if (frame.$case === "stdinClosed") return;
  }
  // Without this word the archive may have been cut short.
  throw new TesseraError("BadRequest", "the upload ended before the whole archive had come");
}
