import type { Exit } from "./exits.ts";
import type { Story, Wait } from "./story.ts";

/** One screen, from what it is to what to do. */
export function formatStory(story: Story): string {
  const { metadata, phase, reason, message, nodeName, ready, waits, exits, hints } = story;
  const where = nodeName === undefined ? "on no node yet" : `on ${nodeName}`;
  const lines = [`pod ${metadata.namespace}/${metadata.name} is ${phase}${ready ? " and ready" : ""}, ${where}`];
  if (reason !== undefined) lines.push(`${reason}${message === undefined ? "" : `: ${message}`}`);
  if (waits.length > 0) lines.push("", "Waits:", ...waits.flatMap(formatWait));
  if (exits.length > 0) lines.push("", "Ended:", ...exits.flatMap(formatExit));
  if (hints.length > 0) lines.push("", "Try:", ...hints.map((hint) => `  ${hint}`));
  if (waits.length + exits.length === 0 && phase !== "Failed") lines.push("", "Nothing is wrong with it, and it waits for nothing.");
  return `${lines.join("\n")}\n`;
}

function formatWait({ subject, text, details }: Wait): string[] {
  return [`  ${subject}: ${text}`, ...details.map((detail) => `    ${detail}`)];
}

function formatExit({ container, reason, exitCode, signal, age, restarts, message, log }: Exit): string[] {
  const bySignal = signal === undefined ? "" : `, signal ${signal}`;
  const again = restarts === 0 ? "" : `, restarted ${restarts} ${restarts === 1 ? "time" : "times"}`;
  return [
    `  container ${container}: ${reason}, exit code ${exitCode}${bySignal}, ${age} ago${again}`,
    ...(message === undefined ? [] : message.split("\n").map((line) => `    said: ${line}`)),
    ...(log ?? []).map((line) => `    | ${line}`),
  ];
}
