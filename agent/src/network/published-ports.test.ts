import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container } from "@tessera/proto";
import { publishedPorts } from "./published-ports.ts";

const web: Container = { name: "web", ports: [{ containerPort: 80, hostPort: 8080 }] };

describe("the host ports of a pod", () => {
  it("are those of its containers and sidecars, with defaults filled in", () => {
    const ports = publishedPorts({
      containers: [
        web,
        { name: "dns", ports: [{ containerPort: 53, hostPort: 53, protocol: "UDP", hostIP: "192.0.2.1" }, { containerPort: 9 }] },
      ],
      initContainers: [
        { name: "once", ports: [{ containerPort: 81, hostPort: 8081 }] },
        { name: "proxy", restartPolicy: "Always", ports: [{ containerPort: 82, hostPort: 8082, protocol: "SCTP" }] },
      ],
    });
    assert.deepEqual(ports, [
      { protocol: "TCP", address: "0.0.0.0", port: 8080, podPort: 80 },
      { protocol: "UDP", address: "192.0.2.1", port: 53, podPort: 53 },
      { protocol: "SCTP", address: "0.0.0.0", port: 8082, podPort: 82 },
    ]);
  });

  it("are none for a pod in the node's network", () => {
    assert.deepEqual(publishedPorts({ hostNetwork: true, containers: [web] }), []);
  });

  it("leave out addresses of IPv6, which pods have not", () => {
    assert.deepEqual(publishedPorts({ containers: [{ ports: [{ containerPort: 80, hostPort: 80, hostIP: "::1" }] }] }), []);
  });

  it("are told once when two are the same", () => {
    const ports = [
      { containerPort: 80, hostPort: 8080 },
      { containerPort: 81, hostPort: 8080, hostIP: "0.0.0.0" },
    ];
    assert.deepEqual(publishedPorts({ containers: [{ ports }] }), [{ protocol: "TCP", address: "0.0.0.0", port: 8080, podPort: 80 }]);
  });
});
