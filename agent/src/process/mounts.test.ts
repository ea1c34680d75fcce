import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container } from "@tessera/proto";
import { container } from "../pod/testing/pod-builder.ts";
import { imageVolumePaths } from "./image-volumes.ts";
import { containerMounts } from "./mounts.ts";
import { refuses } from "./testing/refuses.ts";

describe("mounts", () => {
  const volumes = new Map([
    ["data", { source: "/host/data", readOnly: false }],
    ["settings", { source: "/host/settings", readOnly: true }],
  ]);
  const given = [{ source: "/host/hosts", destination: "/etc/hosts" }];
  const imageVolumes = [
    { source: "/host/0", destination: "/etc/hosts" },
    { source: "/host/1", destination: "/image" },
  ];
  const variables = new Map([
    ["NAME", "web-0"],
    ["UP", "../up"],
    ["EMPTY", ""],
  ]);
  const mount = (...volumeMounts: NonNullable<Container["volumeMounts"]>) =>
    containerMounts({ container: container("main", { volumeMounts }), volumes, given, imageVolumes, variables });

  it("come outermost first, and a volume takes the place of a given file", () => {
    const mounts = mount(
      { name: "data", mountPath: "/a/b/c/" },
      { name: "settings", mountPath: "/a" },
      { name: "data", mountPath: "/etc/hosts" },
    );
    assert.deepEqual(
      mounts.map((one) => [one.destination, one.source, one.readOnly]),
      [
        ["/a", "/host/settings", true],
        ["/image", "/host/1", false],
        ["/etc/hosts", "/host/data", false],
        ["/a/b/c", "/host/data", false],
      ],
    );
  });

  it("refuse what would not be safe or is not there yet", () => {
    refuses(() => mount({ name: "data", mountPath: "/a/../etc" }), "Invalid", /without "\.\."/);
    refuses(() => mount({ name: "data", mountPath: "/" }), "Invalid", /over the container's root/);
    refuses(() => mount({ name: "nothing", mountPath: "/a" }), "Invalid", /no such volume/);
    refuses(() => mount({ name: "data", mountPath: "/a", mountPropagation: "Bidirectional" }), "Invalid", /privileged/);
  });

  it("show a path below the volume, which the container's variables may name", () => {
    const below = (more: object) => mount({ name: "data", mountPath: "/a", ...more }).find((one) => one.destination === "/a")?.subPath;
    assert.equal(below({}), undefined);
    assert.equal(below({ subPath: "x/$(NAME)" }), "x/$(NAME)");
    assert.equal(below({ subPathExpr: "logs/$(NAME)/$$(NAME)" }), "logs/web-0/$(NAME)");
    assert.equal(below({ subPathExpr: "$(EMPTY)" }), undefined, "the whole volume, as in Kubernetes");
    refuses(() => below({ subPathExpr: "$(OTHER)" }), "Invalid", /volumeMount "data": subPathExpr names the variable OTHER/);
    refuses(() => below({ subPathExpr: "a/$(UP)" }), "Invalid", /subPath "a\/\.\.\/up" must be without "\.\."/);
    refuses(() => below({ subPathExpr: "$(EMPTY)/a" }), "Invalid", /must be relative/);
    refuses(() => below({ subPath: "../a" }), "Invalid", /must be without/);
  });

  it("are made for the volumes of the image, unless the pod has one there itself", () => {
    const types = (...mounts: NonNullable<Container["volumeMounts"]>) =>
      mount(...mounts).map((one) => `${one.destination} ${one.type} ${one.source}`);
    assert.deepEqual(types(), ["/image imageVolume /host/1", "/etc/hosts bind /host/hosts"]);
    assert.deepEqual(types({ name: "data", mountPath: "/image/" }), ["/image bind /host/data", "/etc/hosts bind /host/hosts"]);
  });

  it("of an image are at plain paths", () => {
    assert.deepEqual(imageVolumePaths({ volumes: ["/data/", "/data", "/x/../../etc", "relative/./a", "/a//b"] }), [
      "/data",
      "/etc",
      "/relative/a",
      "/a/b",
    ]);
    for (const path of ["/", "", "/a/..", "/a\0b"]) {
      refuses(() => imageVolumePaths({ volumes: [path] }), "Invalid", /the image declares a volume at ".*", where there can be none/);
    }
    const many = Array.from({ length: 101 }, (_, number) => `/v${number}`);
    refuses(() => imageVolumePaths({ volumes: many }), "Invalid", /the image declares 101 volumes; at most 100/);
  });

  it("tell the container of later mounts only as it asks", () => {
    const privileged = container("main", {
      securityContext: { privileged: true },
      volumeMounts: ["None", "HostToContainer", "Bidirectional"].map((mountPropagation) => ({
        name: "data",
        mountPath: `/${mountPropagation}`,
        mountPropagation,
      })),
    });
    assert.deepEqual(
      containerMounts({ container: privileged, volumes, given: [], imageVolumes: [], variables }).map((one) => one.propagation),
      ["private", "rslave", "rshared"],
    );
  });
});
