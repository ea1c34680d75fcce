import { type ServiceAccount, TesseraError, type TokenRequest } from "@tessera/proto";
import type { BoundObject } from "../auth/service-account-tokens.ts";
import { type Fault, invalid, invalidObject, notSupported, required } from "../registry/faults.ts";
import { formatTime } from "../registry/object-meta.ts";
import type { Call } from "./call.ts";
import { decodeBody } from "./decode.ts";
import { type ApiResponse, jsonResponse, withWarnings } from "./http.ts";

export const tokenRequestKind = { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" };
const shortestSeconds = 600;
const longestSeconds = 2 ** 32;
/** Whoever asks for more gets this: the reach of a token that leaks must have an end. */
const grantedSeconds = 365 * 24 * 3600;
const boundKinds = ["Pod", "Secret", "Node"] as const;

/** POST serviceaccounts/token: makes a token, which is kept nowhere. */
export async function requestToken(call: Call): Promise<ApiResponse> {
  const { path, request, dependencies } = call;
  const { object: asked, faults, warnings } = await decodeBody<TokenRequest>(request, tokenRequestKind);
  const spec = asked.spec ?? {};
  const all = [...faults.filter((fault) => !fault.path.startsWith("status")), ...validate(spec)];
  if (all.length > 0) throw invalidObject("TokenRequest", tokenRequestKind.group, path.name, all);
  const { serviceAccounts } = dependencies.registry;
  const account = await serviceAccounts.read(path.namespace, path.name);
  const bound = spec.boundObjectRef === undefined ? undefined : await findBound(call, spec.boundObjectRef, account.value);
  // Whoever shows the token at once must be known by then.
  await serviceAccounts.cache.waitFor(account.revision);
  const expirationSeconds = Math.min(Number(spec.expirationSeconds ?? 3600), grantedSeconds);
  const issued = dependencies.serviceAccountTokens.issue(account.value, { audiences: spec.audiences, expirationSeconds, ...bound });
  const answer: TokenRequest = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    metadata: { name: path.name, namespace: path.namespace, creationTimestamp: formatTime(dependencies.now()) },
    spec: { ...spec, audiences: [...issued.audiences], expirationSeconds },
    status: { token: issued.token, expirationTimestamp: formatTime(issued.expiresAtMs) },
  };
  return withWarnings(jsonResponse(answer, 201), warnings);
}

function validate({ expirationSeconds, boundObjectRef }: NonNullable<TokenRequest["spec"]>): Fault[] {
  const faults: Fault[] = [];
  const seconds = Number(expirationSeconds ?? 3600);
  if (seconds < shortestSeconds) faults.push(invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"));
  if (seconds > longestSeconds)
    faults.push(invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"));
  if (boundObjectRef === undefined) return faults;
  const { kind = "", name } = boundObjectRef;
  if (!boundKinds.some((each) => each === kind)) faults.push(notSupported("spec.boundObjectRef.kind", kind, boundKinds));
  if (!name) faults.push(required("spec.boundObjectRef.name"));
  return faults;
}

async function findBound(
  { path, dependencies }: Call,
  { kind = "", name = "", uid }: NonNullable<NonNullable<TokenRequest["spec"]>["boundObjectRef"]>,
  account: ServiceAccount,
): Promise<{ bound: BoundObject; nodeName?: string }> {
  const { pods, secrets, nodes } = dependencies.registry;
  const found =
    kind === "Pod"
      ? await pods.read(path.namespace, name)
      : kind === "Node"
        ? await nodes.read("", name)
        : await secrets.read(path.namespace, name);
  if (uid && uid !== found.uid) {
    const why = `the uid of the bound object (${uid}) is not that of ${kind} ${JSON.stringify(name)}, which may have been deleted and made anew`;
    throw new TesseraError("Conflict", `Operation cannot be fulfilled on serviceaccounts ${JSON.stringify(path.name)}: ${why}`);
  }
  const bound: BoundObject = { kind: kind as BoundObject["kind"], name, uid: found.uid };
  if (kind === "Secret") await secrets.cache.waitFor(found.revision);
  if (kind === "Node") await nodes.cache.waitFor(found.revision);
  if (kind !== "Pod") return { bound };
  const { spec } = (await pods.read(path.namespace, name)).value;
  if (spec?.serviceAccountName !== account.metadata?.name) {
    const other = `pod ${JSON.stringify(name)} runs as serviceaccount ${JSON.stringify(spec?.serviceAccountName)}`;
    throw new TesseraError("BadRequest", `cannot bind a token of serviceaccount ${JSON.stringify(path.name)} to it: ${other}`);
  }
  await pods.cache.waitFor(found.revision);
  return { bound, nodeName: spec?.nodeName };
}
