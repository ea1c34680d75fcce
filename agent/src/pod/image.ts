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
  if (local === undefined || spec.imagePullPolicy === "Always") {
    if (spec.imagePullPolicy !== "Never") return await pull(container, pullCredentials(context), context, signal);
    const message = `image "${image}" is not on this node and imagePullPolicy is Never: load it with \`tsctl image load FILE\``;
    throw new StepError(Waiting.errImageNeverPull, message);
  }
  // Most images are free to all, and what secrets there are is no question then.
  const usable = (await images.mayUse(image, [])) ? local : await withRights(local, container, context, signal);
  const message = `Container image "${image}" already present on machine and can be accessed by the pod`;
  emit({ type: "Normal", reason: EventReason.pulled, message, fieldPath: fieldPathOf(container) });
  return usable;
}

/** An image that another pod's secret has brought here is not this pod's to use before the registry says so. */
async function withRights(local: LocalImage, container: WantedContainer, context: ImageContext, signal: AbortSignal): Promise<LocalImage> {
  const { images } = context;
  const { image, spec } = container;
  const credentials = pullCredentials(context);
  if (await images.mayUse(image, credentials)) return local;
  if (spec.imagePullPolicy === "Never") {
    const why = "was pulled with credentials that this pod does not have, and with imagePullPolicy Never the registry is not asked";
    throw new StepError(Waiting.errImageNeverPull, `image "${image}" is on this node, but ${why}`);
  }
  try {
    return await images.proveRights(image, { credentials, signal });
  } catch (error) {
    if (isCancellation(error)) throw error;
    throw pullFailure(
      error,
      `image "${image}" is on this node, but this pod's right to it could not be verified: `,
      "",
      container,
      context,
    );
  }
}

function pullFailure(error: unknown, what: string, hint: string, container: WantedContainer, { emit }: ImageContext): StepError {
  const message = `${what}${(error as Error).message}${hint}`;
  emit({ type: "Warning", reason: EventReason.failed, message: capitalised(message), fieldPath: fieldPathOf(container) });
  return new StepError(Waiting.errImagePull, message, { cause: error });
}

async function pull(
  container: WantedContainer,
  credentials: readonly RegistryCredentials[],
  context: ImageContext,
  signal: AbortSignal,
): Promise<LocalImage> {
  const { images, emit, clock, reports } = context;
  const { image } = container;
  const fieldPath = fieldPathOf(container);
  emit({ type: "Normal", reason: EventReason.pulling, message: `Pulling image "${image}"`, fieldPath });
  const startedAtMs = clock.now();
  let pulled: LocalImage;
  try {
    pulled = await images.pull(image, { credentials, signal });
  } catch (error) {
    if (isCancellation(error)) throw error;
    // It may have been loaded from a file meanwhile.
    const local = await images.resolve(image);
    const isUsable = local !== undefined && (await images.mayUse(image, credentials));
    if (isUsable && container.spec.imagePullPolicy !== "Always") return local;
    throw pullFailure(error, `failed to pull image "${image}": `, whatToDo(error, isUsable), container, context);
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
