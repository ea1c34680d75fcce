import { TesseraError } from "@tessera/proto";
import type { ProcessSpec } from "@tessera/runtime-native";
import { runCommand } from "../probes/command.ts";
import type { ActionTarget } from "../probes/probe.ts";
import { buildProcess } from "./container-spec.ts";
import type { PodDependencies } from "./dependencies.ts";
import { attemptId } from "./record.ts";
import type { PodState } from "./state.ts";
import { containerUser, podFacts } from "./steps.ts";
import type { WantedContainer, WantedPod } from "./wanted.ts";

export interface RunningPod extends Pick<PodDependencies, "runtime" | "images" | "accounts" | "objects" | "node"> {
  readonly want: WantedPod;
  readonly state: PodState;
}

/** The first process of a running container, for commands to be run like it. It is as it was when the container was started. */
export async function containerProcess(pod: RunningPod, container: WantedContainer): Promise<ProcessSpec> {
  const { want, state, images, accounts, objects, node } = pod;
  const { name } = container;
  const known = state.prepared.get(name);
  if (known?.process !== undefined) return known.process;
  // The agent was restarted since the container was started.
  const { attempt, image: imageName } = state.container(name);
  const image = known?.image ?? (await images.resolve(imageName));
  if (image === undefined) throw new TesseraError("NotFound", `the image of container "${name}" is no longer on this node`);
  const lower = known?.lower ?? (await images.prepareRootfs(image));
  const user = known?.user ?? containerUser(want, container, image, await accounts.read(lower));
  const process = buildProcess({ want, container, image, user, objects, facts: podFacts({ want, state, node }), node });
  if (state.isRunning(name) && state.container(name).attempt === attempt)
    state.prepared.set(name, { attempt, image, lower, user, process });
  return process;
}

/** How the probes and hooks of a running container reach it. */
export function actionTarget(pod: RunningPod, container: WantedContainer): ActionTarget {
  const { want, state, runtime, node } = pod;
  return {
    address: want.hostNetwork ? node.addresses[0] : state.address,
    spec: container.spec,
    runCommand: async (command, signal) => {
      const { attempt } = state.container(container.name);
      const process = await containerProcess(pod, container);
      return await runCommand(runtime, { sandbox: want.uid, container: attemptId(container.name, attempt), process }, command, signal);
    },
  };
}
