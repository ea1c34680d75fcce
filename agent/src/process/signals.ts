import { constants } from "node:os";

export const SIGTERM = constants.signals.SIGTERM;
export const SIGKILL = constants.signals.SIGKILL;

/** The number of a signal as images name it ("SIGQUIT", "QUIT", "3"); SIGTERM for what is none. */
export function signalNumber(name: string | undefined): number {
  const text = (name ?? "").toUpperCase();
  if (/^\d{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= 64) return Number(text);
  const full = text.startsWith("SIG") ? text : `SIG${text}`;
  const realTime = /^SIGRTMIN\+(\d{1,2})$/.exec(full);
  if (realTime?.[1] !== undefined) return Math.min(34 + Number(realTime[1]), 64);
  return constants.signals[full as NodeJS.Signals] ?? SIGTERM;
}
