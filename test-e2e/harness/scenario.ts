import { randomBytes } from "node:crypto";
import test from "node:test";
import { assertNothingLeaks, exampleImage, kubectl, kubectlOk, tsctl, tsctlOk } from "./cluster.ts";
import type { Output, RunOptions } from "./run.ts";

/** What a scenario works with: both command lines, bound to a namespace of its own. */
export interface Scenario {
  readonly namespace: string;
  kubectl(args: readonly string[], options?: RunOptions): Promise<Output>;
  tsctl(args: readonly string[], options?: RunOptions): Promise<Output>;
  /** Must succeed; returns stdout. */
  kubectlOk(args: readonly string[], options?: RunOptions): Promise<string>;
  tsctlOk(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Applies objects given as JSON, with kubectl. */
  apply(...objects: readonly object[]): Promise<void>;
  getPod(name: string): Promise<PodView>;
  waitReady(...names: readonly string[]): Promise<void>;
}

/** The part of a Pod that scenarios look at. */
export interface PodView {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly creationTimestamp: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly hostIP?: string;
    readonly reason?: string;
    readonly message?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    readonly initContainerStatuses?: readonly ContainerView[];
    readonly containerStatuses?: readonly ContainerView[];
    readonly ephemeralContainerStatuses?: readonly ContainerView[];
  };
}

export interface ContainerView {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly imageID?: string;
  readonly containerID?: string;
  readonly stopSignal?: string;
  readonly state: StateView;
  readonly lastState?: StateView;
}

interface StateView {
  readonly running?: { readonly startedAt: string };
  readonly waiting?: { readonly reason: string; readonly message?: string };
  readonly terminated?: {
    readonly reason: string;
    readonly exitCode: number;
    readonly signal?: number;
    readonly message?: string;
    readonly containerID?: string;
  };
}

/** A test in a namespace of its own; when it is over the namespace goes, and the leak check must find nothing. */
export function scenario(name: string, body: (cluster: Scenario) => Promise<void>): void {
  test(name, async () => {
    const namespace = `t-${randomBytes(4).toString("hex")}`;
    await kubectlOk(["create", "namespace", namespace]);
    try {
      await body(bindTo(namespace));
    } catch (error) {
      const pods = await kubectl(["-n", namespace, "get", "pods,events", "-o", "wide"]);
      throw new Error(`${(error as Error).message}\n${pods.stdout}${pods.stderr}`, { cause: error });
    } finally {
      await kubectlOk(["delete", "namespace", namespace, "--timeout=60s"], { timeoutMs: 70_000 });
    }
    await assertNothingLeaks();
  });
}

function bindTo(namespace: string): Scenario {
  const inNamespace = (args: readonly string[]) => ["-n", namespace, ...args];
  const bound: Scenario = {
    namespace,
    kubectl: (args, options) => kubectl(inNamespace(args), options),
    tsctl: (args, options) => tsctl(inNamespace(args), options),
    kubectlOk: (args, options) => kubectlOk(inNamespace(args), options),
    tsctlOk: (args, options) => tsctlOk(inNamespace(args), options),
    async apply(...objects) {
      await bound.kubectlOk(["apply", "-f", "-"], { input: objects.map((object) => JSON.stringify(object)).join("\n") });
    },
    async getPod(name) {
      return JSON.parse(await bound.kubectlOk(["get", "pod", name, "-o", "json"])) as PodView;
    },
    async waitReady(...names) {
      await bound.kubectlOk(["wait", "--for=condition=Ready", "--timeout=30s", ...names.map((name) => `pod/${name}`)], {
        timeoutMs: 40_000,
      });
    },
  };
  return bound;
}

/** A pod of one container of the example image that runs a shell script; more of the spec as given. */
export function shellPod(
  name: string,
  script: string,
  spec: { readonly container?: object; readonly pod?: object; readonly labels?: object } = {},
): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: spec.labels ?? { app: name } },
    spec: {
      // The shell is PID 1 and would ignore TERM: tests need not wait for a grace period.
      terminationGracePeriodSeconds: 1,
      containers: [{ name: "main", image: exampleImage, command: ["sh", "-c", script], ...spec.container }],
      ...spec.pod,
    },
  };
}
