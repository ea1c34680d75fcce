import type { ProbeOutcome } from "./schedule.ts";

/** What one look at a container found. */
export interface ProbeResult {
  readonly outcome: ProbeOutcome;
  /** What was found, for people. */
  readonly message: string;
}

/** No more of what a container answers is kept. */
export const LONGEST_ANSWER_BYTES = 10 << 10;

/** Servers tell probes by it from other requests. */
export const USER_AGENT = "kube-probe/1.36";

export function success(message = ""): ProbeResult {
  return { outcome: "success", message };
}

export function failure(message: string): ProbeResult {
  return { outcome: "failure", message };
}

/** What people get to see of a long answer. */
const SHOWN_CHARACTERS = 1024;

/** Text from a container as Events can carry it: short, and on a terminal harmless. */
export function shown(text: string): string {
  return [...text.trim()]
    .slice(0, SHOWN_CHARACTERS)
    .map((character) => (isControl(character) ? "?" : character))
    .join("");
}

function isControl(character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  return (code < 0x20 && character !== "\n" && character !== "\t") || (code >= 0x7f && code < 0xa0);
}
