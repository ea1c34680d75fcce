import type { ConfigMap, Container, Pod, PodSpec } from "@tessera/proto";

/** A pod with one container; a spec without containers keeps it. */
export function podNamed(name: string, spec: PodSpec = {}, labels?: { [key: string]: string }): Pod {
  const web: Container = { name: "web", image: "web:1" };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, ...(labels === undefined ? {} : { labels }) },
    spec: { containers: [web], ...spec },
  };
}

export function configMapNamed(name: string, data: { [key: string]: string } = {}, labels?: { [key: string]: string }): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, ...(labels === undefined ? {} : { labels }) }, data };
}
