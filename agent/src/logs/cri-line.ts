/** One entry of a log in the CRI format: "TIME stdout|stderr F|P text". */
export interface LogEntry {
  /** RFC 3339 with nanoseconds, as written. */
  readonly time: string;
  readonly stream: "stdout" | "stderr";
  /** The text ends a line; otherwise the same line goes on in the stream's next entry. */
  readonly isFull: boolean;
  readonly text: Buffer;
}

const SPACE = 0x20;
const FULL = 0x46;
const PARTIAL = 0x50;

/** Reads one line without its newline; undefined when it is none of ours, as after a power cut in the middle of a write. */
export function parseLine(line: Buffer): LogEntry | undefined {
  const afterTime = line.indexOf(SPACE);
  const afterStream = afterTime < 0 ? -1 : line.indexOf(SPACE, afterTime + 1);
  if (afterStream < 0 || line[afterStream + 2] !== SPACE) return undefined;
  const stream = line.toString("latin1", afterTime + 1, afterStream);
  const tag = line[afterStream + 1];
  if ((stream !== "stdout" && stream !== "stderr") || (tag !== FULL && tag !== PARTIAL)) return undefined;
  return { time: line.toString("latin1", 0, afterTime), stream, isFull: tag === FULL, text: line.subarray(afterStream + 3) };
}
