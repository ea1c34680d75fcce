import { constants } from "node:os";

export const SIGTERM = constants.signals.SIGTERM;
export const SIGKILL = constants.signals.SIGKILL;

/** The C library keeps the kernel's first two real-time signals to itself. */
const FIRST_REAL_TIME = 34;
const LAST_REAL_TIME = 64;

/** Half of the real-time signals are counted from the first, half from the last. */
const LAST_FROM_FIRST = 49;

/** A signal's name as pods' statuses have it: "SIGTERM", "SIGRTMIN+3", "SIGRTMAX-2". */
export function signalName(number: number): string {
  if (number < FIRST_REAL_TIME) return NAMES.get(number) ?? "SIGTERM";
  if (number <= LAST_FROM_FIRST) return number === FIRST_REAL_TIME ? "SIGRTMIN" : `SIGRTMIN+${number - FIRST_REAL_TIME}`;
  return number >= LAST_REAL_TIME ? "SIGRTMAX" : `SIGRTMAX-${LAST_REAL_TIME - number}`;
}

/** Of several names for one number the first that Node lists, which is the usual one. */
const NAMES = new Map(
  Object.entries(constants.signals)
    .reverse()
    .map(([name, number]) => [number, name]),
);

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
