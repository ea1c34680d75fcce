import { retryDelayMs } from "./backoff.ts";
import { Waiting } from "./reasons.ts";
import type { PodStep } from "./step.ts";

type StepName = PodStep["do"];

/** What else can make a step that failed worth trying again at once. */
export type Poke = "objects" | "images" | "addresses" | "network" | "hostPorts";

const POKED_STEPS: Record<Poke, readonly StepName[]> = {
  objects: ["mountVolume", "prepareContainer", "startContainer"],
  images: ["prepareContainer"],
  addresses: ["allocateAddress"],
  network: ["createNetns", "allocateAddress", "openHostPorts"],
  hostPorts: ["openHostPorts"],
};

/** Time a step may take before its signal is aborted. */
const STEP_DEADLINE_MS = 60_000;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
const FIRST_IMAGE_RETRY_MS = 10_000;
const LONGEST_IMAGE_RETRY_MS = 300_000;

const SET_UP: ReadonlySet<StepName> = new Set([
  "createNetns",
  "openHostPorts",
  "mountVolume",
  "createSandbox",
  "prepareContainer",
  "runPostStart",
]);
/** An image is as large as it is, and whether its transfer still moves the image store looks after; a hook takes what it takes. */
const TIMELESS: ReadonlySet<StepName> = new Set(["prepareContainer", "runPostStart", "runPreStop"]);
const TEAR_DOWN: ReadonlySet<StepName> = new Set([
  "signalContainer",
  "forgetContainer",
  "removeSandbox",
  "closeHostPorts",
  "releaseNetns",
  "releaseAddress",
  "unmountVolumes",
  "removeFolders",
]);

/** Steps that are not worth finishing once the pod is to go. */
export function isSetUp(step: PodStep): boolean {
  return SET_UP.has(step.do);
}

/** Steps that give back. */
export function isTearDown(step: PodStep): boolean {
  return TEAR_DOWN.has(step.do);
}

/** Delay before a step is tried again that failed so often; `waiting` is what its failure is called in a container's status, or "". */
export function retryAfterMs(waiting: string, count: number): number {
  const isImage = waiting === Waiting.errImagePull || waiting === Waiting.errImageNeverPull || waiting === Waiting.invalidImageName;
  return isImage
    ? retryDelayMs(count, FIRST_IMAGE_RETRY_MS, LONGEST_IMAGE_RETRY_MS)
    : retryDelayMs(count, FIRST_RETRY_MS, LONGEST_RETRY_MS);
}

/** Undefined: it takes what it takes. */
export function stepDeadlineMs(step: PodStep): number | undefined {
  return TIMELESS.has(step.do) ? undefined : STEP_DEADLINE_MS;
}

/** Whether the step of that key is worth another try now. */
export function isPokedBy(what: Poke, stepKey: string): boolean {
  return POKED_STEPS[what].some((name) => stepKey.split(" ", 1)[0] === name);
}
