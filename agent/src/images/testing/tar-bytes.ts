import { buffer } from "node:stream/consumers";
import { type Header, pack } from "tar-stream";

export type TarMember = Partial<Header> & { readonly name: string; readonly content?: string | Buffer };

/** An archive as an ordinary tool writes it. */
export async function tar(...members: readonly TarMember[]): Promise<Buffer> {
  const archive = pack();
  for (const { content, ...header } of members) archive.entry({ type: "file", ...header }, content ?? "");
  archive.finalize();
  return await buffer(archive);
}

export interface RawHeader {
  readonly name: string | Buffer;
  /** "0" for a file. */
  readonly flag?: string;
  readonly content?: Buffer;
  /** What the size field says, when not the content's length. */
  readonly size?: number;
  readonly linkName?: string;
  /** Replaces the uid's field, eight bytes. */
  readonly uid?: Buffer;
  /** "ustar\0" + version unless given. */
  readonly magic?: string;
}

/** One entry byte by byte, also such as no tool would write. */
export function rawEntry({
  name,
  flag = "0",
  content = Buffer.alloc(0),
  size,
  linkName = "",
  uid,
  magic = "ustar\x0000",
}: RawHeader): Buffer {
  const header = Buffer.alloc(512);
  Buffer.from(name).copy(header, 0, 0, 100);
  header.write("0000644\0", 100, "latin1");
  (uid ?? Buffer.from("0000000\0")).copy(header, 108);
  header.write("0000000\0", 116, "latin1");
  header.write(`${(size ?? content.length).toString(8).padStart(11, "0")}\0`, 124, "latin1");
  header.write("00000000000\0", 136, "latin1");
  header.write(flag, 156, "latin1");
  header.write(linkName, 157, 100, "utf8");
  header.write(magic, 257, "latin1");
  header.fill(" ", 148, 156);
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
    "latin1",
  );
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

/** A PAX header with these records, before the entry that they are about. */
export function paxHeader(records: Readonly<Record<string, string | Buffer>>): Buffer {
  const content = Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, Buffer.from(value))));
  return rawEntry({ name: "PaxHeaders/x", flag: "x", content });
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** The two blocks of zeros that end an archive. */
export const endOfTar = Buffer.alloc(1024);
