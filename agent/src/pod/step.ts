/** One thing to do for a pod, and why. */
export type PodStep = { readonly because: string } & (
  | { readonly do: "makeFolders" }
  | { readonly do: "allocateAddress" }
  | { readonly do: "createNetns" }
  | { readonly do: "openHostPorts" }
  | { readonly do: "mountVolume"; readonly volume: string }
  | { readonly do: "createSandbox" }
  /** Finds the image and makes the folders of the attempt. */
  | { readonly do: "prepareContainer"; readonly container: string; readonly attempt: number }
  | { readonly do: "startContainer"; readonly container: string; readonly attempt: number }
  /** Until its postStart hook has run a container counts as starting. */
  | { readonly do: "runPostStart"; readonly container: string; readonly attempt: number }
  /** Begins the stop of a container that has a preStop hook. The signal comes after it. */
  | { readonly do: "runPreStop"; readonly container: string; readonly attempt: number; readonly tell: string }
  | {
      readonly do: "signalContainer";
      readonly container: string;
      readonly attempt: number;
      readonly signal: "stop" | "kill";
      /** Words for the Event, if nothing was told of the stop before. */
      readonly tell: string;
    }
  /** Lets the container stand still, or go on. */
  | { readonly do: "pauseContainer"; readonly container: string; readonly attempt: number }
  | { readonly do: "resumeContainer"; readonly container: string; readonly attempt: number }
  /** Removes what the runtime and the disk hold of an attempt that has ended or never got to run. Its log stays. */
  | { readonly do: "forgetContainer"; readonly container: string; readonly attempt: number }
  | { readonly do: "removeSandbox" }
  | { readonly do: "closeHostPorts" }
  | { readonly do: "releaseNetns" }
  | { readonly do: "releaseAddress" }
  | { readonly do: "unmountVolumes" }
  | { readonly do: "removeFolders" }
);

export type StepOf<K extends PodStep["do"]> = Extract<PodStep, { do: K }>;

/** Names a step among the steps of its pod. */
export function stepKey(step: PodStep): string {
  if (step.do === "mountVolume") return `mountVolume ${step.volume}`;
  return "container" in step ? `${step.do} ${step.container}` : step.do;
}

/** What the step works on: two steps on one subject never run at once. */
export function stepSubject(step: PodStep): string {
  switch (step.do) {
    case "makeFolders":
    case "removeFolders":
      return "folders";
    case "allocateAddress":
    case "releaseAddress":
      return "address";
    case "createNetns":
    case "releaseNetns":
      return "netns";
    case "openHostPorts":
    case "closeHostPorts":
      return "hostPorts";
    case "createSandbox":
    case "removeSandbox":
      return "sandbox";
    case "mountVolume":
      return `volume ${step.volume}`;
    case "unmountVolumes":
      return "volumes";
    case "prepareContainer":
      return `files of ${step.container}`;
    case "runPostStart":
    case "runPreStop":
      return hookSubject(step.container);
    default:
      return `container ${step.container}`;
  }
}

/** A hook runs beside whatever else is done with its container. */
export function hookSubject(container: string): string {
  return `hook of ${container}`;
}
