import type { PodEvent } from "./dependencies.ts";
import type { StepFailure } from "./observed.ts";
import { EventReason, Waiting } from "./reasons.ts";
import { type PodStep, stepKey } from "./step.ts";
import { fieldPathOf, type WantedContainer } from "./wanted.ts";

/** Every so many equal failures are said again; the retries in between say nothing new. */
const REPEAT_EVERY = 5;

export interface FailureFacts {
  readonly step: PodStep;
  readonly failure: StepFailure;
  /** The container that the step is about. */
  readonly container: WantedContainer | undefined;
  /** The step did not fail before, or with another message. */
  readonly isNews: boolean;
}

/** The Events that tell of a failed step, in Kubernetes' words; none when it has been told. */
export function failureEvents({ step, failure, container, isNews }: FailureFacts): PodEvent[] {
  const { message, reason, count } = failure;
  if (step.do === "prepareContainer" || step.do === "startContainer") {
    return containerFailures(failure, container);
  }
  if (!isNews && count % REPEAT_EVERY !== 0) return [];
  const ofPod = (eventReason: string, text: string): PodEvent[] => [{ type: "Warning", reason: eventReason, message: text, fieldPath: "" }];
  switch (step.do) {
    case "mountVolume":
      return ofPod(EventReason.failedMount, `MountVolume.SetUp failed for volume "${step.volume}": ${message}`);
    case "allocateAddress":
    case "createNetns":
    case "openHostPorts":
    case "createSandbox":
      return ofPod(EventReason.failedSandbox, `Failed to create pod sandbox: ${message}`);
    case "makeFolders":
      return ofPod(EventReason.failedSync, `${stepKey(step)}: ${message}`);
    default:
      return ofPod(EventReason.failedKill, `${stepKey(step)}: ${message}${reason === "" ? "" : ` (${reason})`}`);
  }
}

function containerFailures({ message, reason }: StepFailure, container: WantedContainer | undefined): PodEvent[] {
  const fieldPath = container === undefined ? "" : fieldPathOf(container);
  if (reason === Waiting.errImagePull) {
    // What went wrong was told by the pull itself.
    return [
      { type: "Warning", reason: EventReason.failed, message: `Error: ${reason}`, fieldPath },
      { type: "Normal", reason: EventReason.backOff, message: `Back-off pulling image "${container?.image ?? ""}"`, fieldPath },
    ];
  }
  const word = reason === Waiting.errImageNeverPull ? EventReason.errImageNeverPull : EventReason.failed;
  return [{ type: "Warning", reason: word, message: `Error: ${message}`, fieldPath }];
}
