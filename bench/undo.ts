/** What must be undone however a benchmark ends: at its end, when it fails, or when the program is told to end. */

type Undo = () => Promise<void> | void;

const owed: Undo[] = [];
const ending = new AbortController();

/** Aborted when the program was told to end: what is under way need not be finished. */
export const told = ending.signal;

/** Runs `body` and then `undo`; `undo` runs once, also when SIGINT, SIGTERM or SIGHUP come before the body has ended. */
export async function withUndo<T>(undo: Undo, body: () => Promise<T>): Promise<T> {
  owed.push(undo);
  try {
    return await body();
  } finally {
    const at = owed.indexOf(undo);
    // Else the end of the program has taken it over.
    if (at >= 0) {
      owed.splice(at, 1);
      await undo();
    }
  }
}

/** Runs a program to its end. A signal ends it earlier, when everything owed is undone, the newest first. */
export async function runProgram(main: () => Promise<void>): Promise<void> {
  const { promise: signalled, resolve } = Promise.withResolvers<number>();
  for (const [signal, code] of Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 })) process.on(signal, () => resolve(code));
  const done = main().then(() => 0);
  const code = await Promise.race([signalled, done]);
  if (code === 0) return;
  // What breaks from here on breaks because of the end.
  done.catch(() => {});
  ending.abort();
  for (let undo = owed.pop(); undo !== undefined; undo = owed.pop()) {
    try {
      await undo();
    } catch (error) {
      console.error("bench: could not clean up:", error);
    }
  }
  process.exit(code);
}
