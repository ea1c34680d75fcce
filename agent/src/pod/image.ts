import { isCancellation, TesseraError } from "@tessera/proto";
import { type LocalImage, parsePullSecret, type RegistryCredentials } from "../images/index.ts";
import { EventReason, Waiting } from "./reasons.ts";
import { failingAs, StepError } from "./step-error.ts";
import type { StepContext } from "./steps.ts";
import { fieldPathOf, type WantedContainer } from "./wanted.ts";

type ImageContext = Pick<StepContext, "want" | "images" | "objects" | "emit" | "clock" | "reports">;

/** The container's image, by its imagePullPolicy: what is on the node, or what the registry has. */
export async function acquireImage(container: WantedContainer, context: ImageContext, signal: AbortSignal): Promise<LocalImage> {
  const { images, emit } = context;
  const { image, spec } = container;
  const local = await failingAs(Waiting.invalidImageName, () => images.resolve(image));
  if (local !== undefined && spec.imagePullPolicy !== "Always") {
    const message = `Container image "${image}" already present on machine`;
    emit({ type: "Normal", reason: EventReason.pulled, message, fieldPath: fieldPathOf(container) });
    return local;
  }
  if (spec.imagePullPolicy === "Never") {
    const message = `image "${image}" is not on this node and imagePullPolicy is Never: load it with \`tsctl image load FILE\``;
    throw new StepError(Waiting.errImageNeverPull, message);
  }
  return await pull(container, context, signal);
}

async function pull(container: WantedContainer, context: ImageContext, signal: AbortSignal): Promise<LocalImage> {
  const { images, emit, clock, reports } = context;
  const { image } = container;
  const fieldPath = fieldPathOf(container);
  emit({ type: "Normal", reason: EventReason.pulling, message: `Pulling image "${image}"`, fieldPath });
  const startedAtMs = clock.now();
  let pulled: LocalImage;
  try {
    pulled = await images.pull(image, { credentials: pullCredentials(context), signal });
  } catch (error) {
    if (isCancellation(error)) throw error;
    // It may have been loaded from a file meanwhile.
    const local = await images.resolve(image);
    if (local !== undefined && container.spec.imagePullPolicy !== "Always") return local;
    const message = `failed to pull image "${image}": ${(error as Error).message}${whatToDo(error, local !== undefined)}`;
    emit({ type: "Warning", reason: EventReason.failed, message: capitalised(message), fieldPath });
    throw new StepError(Waiting.errImagePull, message, { cause: error });
  }
  const seconds = `${(clock.now() - startedAtMs) / 1000}s`;
  const message = `Successfully pulled image "${image}" in ${seconds} (${seconds} including waiting). Image size: ${pulled.sizeBytes} bytes.`;
  emit({ type: "Normal", reason: EventReason.pulled, message, fieldPath });
  reports.imagesChanged();
  return pulled;
}

/** What the Secrets in imagePullSecrets hold. One that is missing is told of and does without, as in Kubernetes: the image may be public. */
function pullCredentials({ want, objects, emit }: ImageContext): RegistryCredentials[] {
  const missing: string[] = [];
  const credentials = (want.pod.spec?.imagePullSecrets ?? []).flatMap(({ name = "" }) => {
    const found = objects.get("Secret", want.namespace, name);
    if (found.is === "present") return parsePullSecret(found.object);
    missing.push(name);
    return [];
  });
  if (missing.length > 0) {
    const message = `Unable to retrieve some image pull secrets (${missing.join(", ")}); attempting to pull the image may not succeed.`;
    emit({ type: "Warning", reason: EventReason.failedPullSecret, message, fieldPath: "" });
  }
  return credentials;
}

function whatToDo(error: unknown, isLocal: boolean): string {
  if (isLocal) return "; it is on this node, and would be used with imagePullPolicy IfNotPresent";
  const isUnreachable = error instanceof TesseraError && error.reason === "ServiceUnavailable";
  return isUnreachable ? "; without a registry, load it on all nodes with `tsctl image load FILE`" : "";
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
