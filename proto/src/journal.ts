import { fstatSync } from "node:fs";

/** What a log is written to, line by line. */
export interface LogOutput {
  write(text: string): void;
}

/**
 * The output as it is or, when this process's stderr, which it must lead to, is a stream of systemd's journal, one that makes text of JSON lines. A service
 * knows its stream by $JOURNAL_STREAM (systemd.exec(5)), which what it starts inherits though its stderr may be something else.
 */
export function readableInJournal(stderr: LogOutput, stream = process.env["JOURNAL_STREAM"]): LogOutput {
  if (stream === undefined) return stderr;
  const { dev, ino } = fstatSync(2);
  return stream === `${dev}:${ino}` ? { write: (line) => stderr.write(journalText(line)) } : stderr;
}

/** Of pino's levels, by their tens: the priorities of syslog, trace and debug being the same. */
const priorities = [7, 7, 7, 6, 4, 3, 2];
const errorLevel = 50;

/**
 * One JSON line of pino as people read it: the message, the error's message, and fields as NAME=VALUE; of an error also where it came from. The journal has
 * times itself, and takes a line's priority from its beginning (sd-daemon(3)), so `journalctl -p` tells them apart.
 */
export function journalText(line: string): string {
  const { level, time: _, msg, err, ...fields } = JSON.parse(line) as LogRecord;
  const said = [msg, err?.message].filter(Boolean).join(": ");
  const words = Object.entries(fields).map(([name, value]) => `${name}=${word(value)}`);
  const text = [[said, ...words].filter(Boolean).join(" ")];
  if (level >= errorLevel && err?.stack !== undefined) text.push(...err.stack.split("\n").filter((each) => /^\s+at /.test(each)));
  const priority = priorities[Math.floor(level / 10)] ?? 2;
  return text
    .join("\n")
    .split("\n")
    .map((each) => `<${priority}>${each}\n`)
    .join("");
}

interface LogRecord {
  readonly level: number;
  readonly time: number;
  readonly msg?: string;
  readonly err?: { readonly message?: string; readonly stack?: string };
  readonly [field: string]: unknown;
}

function word(value: unknown): string {
  return typeof value === "string" && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
