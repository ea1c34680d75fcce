/** Pods that benchmarks start and end, and when a watch saw what became of them. */
import type { ApiClient } from "./api-client.ts";

export const podsPath = "/api/v1/namespaces/default/pods";

/** A pod whose only container sleeps until it is told to end. */
export function sleeper(name: string): object {
  const container = {
    name: "main",
    image: "tessera.local/busybox:1",
    command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"],
  };
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { containers: [container] } };
}

export async function createPod(api: ApiClient, name: string): Promise<{ metadata: { uid: string } }> {
  return (await api.request("POST", podsPath, sleeper(name))) as { metadata: { uid: string } };
}

export async function deletePod(api: ApiClient, name: string): Promise<void> {
  await api.request("DELETE", `${podsPath}/${name}`, { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 1 });
}

/** Tells when pods reach a state: a phase, or "gone". Ask before causing it. */
export class PodWatch {
  readonly #waiting = new Map<string, (atMs: number) => void>();
  #end: () => void = () => {};

  static async open(api: ApiClient): Promise<PodWatch> {
    const watch = new PodWatch();
    watch.#end = await api.watch(`${podsPath}?watch=1`, ({ type, object }, atMs) => {
      const state = type === "DELETED" ? "gone" : (object.status?.phase ?? "");
      const key = `${object.metadata.name} ${state}`;
      watch.#waiting.get(key)?.(atMs);
      watch.#waiting.delete(key);
    });
    return watch;
  }

  reaches(name: string, state: string): Promise<number> {
    return new Promise<number>((resolve) => this.#waiting.set(`${name} ${state}`, resolve));
  }

  close(): void {
    this.#end();
  }
}
