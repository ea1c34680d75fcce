/** Where a command's words go: stdout for data, stderr for talk. */
export interface Output {
  /** Resolves when more may be written. */
  write(data: string | Uint8Array): Promise<void>;
  readonly isTerminal: boolean;
  /** Width of the terminal; undefined when it is none. */
  readonly columns: number | undefined;
}

/** Writes to a stream of the process, waiting while its reader is slow. A reader that went away ends the program as it would end `cat`. */
export function streamOutput(stream: NodeJS.WriteStream): Output {
  return {
    async write(data) {
      if (stream.write(data)) return;
      await new Promise<void>((resolve) => stream.once("drain", resolve));
    },
    get isTerminal() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.isTTY === true ? stream.columns : undefined;
    },
  };
}

/** Keeps what is written, for tests and completion. */
export class MemoryOutput implements Output {
  readonly isTerminal: boolean;
  readonly columns: number | undefined;
  readonly #chunks: Uint8Array[] = [];

  constructor(options: { readonly isTerminal?: boolean; readonly columns?: number } = {}) {
    this.isTerminal = options.isTerminal ?? false;
    this.columns = options.columns;
  }

  async write(data: string | Uint8Array): Promise<void> {
    this.#chunks.push(typeof data === "string" ? Buffer.from(data) : data);
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
