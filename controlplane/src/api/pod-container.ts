import { type Container, type Pod, TesseraError } from "@tessera/proto";
import type { Call } from "./call.ts";

const defaultContainerAnnotation = "kubectl.kubernetes.io/default-container";

/** Where a stream to a container leads. */
export interface ContainerTarget {
  readonly nodeName: string;
  readonly podUid: string;
  readonly container: string;
  readonly definition: Container;
}

/** The container that a request for log, exec or attach means. Throws TesseraError "BadRequest" when it is not clear which, or there is none such. */
export async function findContainer(call: Call): Promise<ContainerTarget> {
  const { path, request, dependencies } = call;
  const pod = (await dependencies.registry.pods.read(path.namespace, path.name)).value;
  const definition = chooseContainer(pod, request.query.get("container") ?? "");
  const nodeName = pod.spec?.nodeName ?? "";
  if (nodeName === "") {
    throw new TesseraError("BadRequest", `pod ${path.name} does not have a host assigned`, { details: { name: path.name, kind: "pods" } });
  }
  return { nodeName, podUid: pod.metadata?.uid ?? "", container: definition.name ?? "", definition };
}

function chooseContainer(pod: Pod, wanted: string): Container {
  const podName = pod.metadata?.name ?? "";
  const main = pod.spec?.containers ?? [];
  const init = pod.spec?.initContainers ?? [];
  const name = wanted || (pod.metadata?.annotations?.[defaultContainerAnnotation] ?? "");
  const all: readonly Container[] = [...main, ...init, ...(pod.spec?.ephemeralContainers ?? [])];
  const found = name === "" ? (main.length === 1 ? main[0] : undefined) : all.find((each) => each.name === name);
  if (found !== undefined) return found;
  if (name !== "") throw new TesseraError("BadRequest", `container ${name} is not valid for pod ${podName}; it has ${list(all)}`);
  const others = init.length === 0 ? "" : ` or one of the init containers: ${list(init)}`;
  throw new TesseraError("BadRequest", `a container name must be specified for pod ${podName}, choose one of: ${list(main)}${others}`);
}

function list(containers: readonly Container[]): string {
  return `[${containers.map((each) => each.name).join(" ")}]`;
}
