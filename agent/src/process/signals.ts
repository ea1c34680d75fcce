import { constants } from "node:os";

export const SIGTERM = constants.signals.SIGTERM;
export const SIGKILL = constants.signals.SIGKILL;

/** The C library keeps the kernel's first two real-time signals to itself. */
const FIRST_REAL_TIME = 34;
const LAST_REAL_TIME = 64;

/** The number of a signal as images name it ("SIGQUIT", "QUIT", "3"); SIGTERM for what is none. */
export function signalNumber(name: string | undefined): number {
  const text = (name ?? "").toUpperCase();
  if (/^\d{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= 64) return Number(text);
  const full = text.startsWith("SIG") ? text : `SIG${text}`;
  const realTime = /^SIGRT(MIN|MAX)(?:[+-](\d{1,2}))?$/.exec(full);
  if (realTime !== null) {
    const distance = Number(realTime[2] ?? 0);
    return realTime[1] === "MIN"
      ? Math.min(FIRST_REAL_TIME + distance, LAST_REAL_TIME)
      : Math.max(LAST_REAL_TIME - distance, FIRST_REAL_TIME);
  }
  return constants.signals[full as NodeJS.Signals] ?? SIGTERM;
}
