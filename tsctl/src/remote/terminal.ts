/** A terminal in raw mode: keys go to the remote command as they are pressed. */
export class RawTerminal implements Disposable {
  readonly #input: NodeJS.ReadStream;

  constructor(input: NodeJS.ReadStream) {
    this.#input = input;
    input.setRawMode(true);
  }

  [Symbol.dispose](): void {
    this.#input.setRawMode(false);
  }
}

/** The size of a terminal now, and each time it changes. */
export async function* terminalSizes(output: NodeJS.WriteStream, signal: AbortSignal): AsyncGenerator<{ columns: number; rows: number }> {
  for (;;) {
    yield { columns: output.columns, rows: output.rows };
    const changed = await new Promise<boolean>((resolve) => {
      const onResize = () => done(true);
      const onAbort = () => done(false);
      const done = (value: boolean) => {
        output.off("resize", onResize);
        signal.removeEventListener("abort", onAbort);
        resolve(value);
      };
      output.on("resize", onResize);
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) done(false);
    });
    if (!changed) return;
  }
}
