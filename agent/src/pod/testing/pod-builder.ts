import type { Container, Pod, PodSpec } from "@tessera/proto";

/** A pod object as the control plane sends it, showing only what matters to a test. */
export function pod(name: string, spec: PodSpec = {}, more: Partial<Pod["metadata"]> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: `uid-${name}`, resourceVersion: "1", ...more },
    spec: { nodeName: "node-1", restartPolicy: "Always", terminationGracePeriodSeconds: 30, containers: [container("main")], ...spec },
    status: { phase: "Pending" },
  };
}

export function container(name: string, more: Container = {}): Container {
  return { name, image: "app", imagePullPolicy: "IfNotPresent", terminationMessagePath: "/dev/termination-log", ...more };
}

/** The same pod after a deletion with that grace. */
export function deleted(object: Pod, graceSeconds: number): Pod {
  const deletionTimestamp = "2026-01-02T03:04:05Z";
  return { ...object, metadata: { ...object.metadata, deletionTimestamp, deletionGracePeriodSeconds: graceSeconds } };
}
