import { pipeline, type Readable } from "node:stream";
import { extract, type Header } from "tar-stream";

/** An entry of an archive: what stands in its header, and its content. */
export interface Source extends AsyncIterable<Uint8Array> {
  readonly header: Header;
  /** Passes over what was not read. */
  resume(): unknown;
}

/** The entries of a tar archive as they come. One that is cut short is an error. */
export function readArchive(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Source> {
  const entries = extract();
  pipeline(bytes as Readable, entries as unknown as NodeJS.WritableStream, () => undefined);
  // Its entries are streams of bytes, of which its types only say that they are streams.
  return entries as AsyncIterable<unknown> as AsyncIterable<Source>;
}
