import assert from "node:assert/strict";
import { test } from "node:test";
import { containerTuning, pausedContainers, tuningFaults } from "./container-tuning.ts";

test("a container has what the pod says, unless something is said of it alone", () => {
  const annotations = {
    "tessera.dev/ulimits": "nofile=1024:2048, core=0",
    "tessera.dev/ulimits.web": "nproc=unlimited,memlock=100:-1",
    "tessera.dev/blkio-weight": "300",
    "tessera.dev/device-read-bps.web": "/dev/vda:10Mi,/dev/disk/by-id/x:1k",
    "tessera.dev/device-write-iops": "/dev/vda:5",
    "tessera.dev/cpuset-cpus": "0-1, 3",
    "tessera.dev/cpuset-cpus.web": "2",
    "tessera.dev/cpuset-mems.web": "0",
  };
  assert.deepEqual(containerTuning(annotations, "db"), {
    ulimits: [
      { name: "nofile", soft: 1024, hard: 2048 },
      { name: "core", soft: 0, hard: 0 },
    ],
    blkioWeight: 300,
    deviceLimits: [{ device: "/dev/vda", rate: "write-iops", limit: 5 }],
    cpusetCpus: "0-1,3",
    cpusetMems: undefined,
  });
  const web = containerTuning(annotations, "web");
  assert.deepEqual([web.cpusetCpus, web.cpusetMems], ["2", "0"]);
  assert.deepEqual(web.ulimits, [
    { name: "nproc", soft: undefined, hard: undefined },
    { name: "memlock", soft: 100, hard: undefined },
  ]);
  assert.deepEqual(web.deviceLimits, [
    { device: "/dev/vda", rate: "read-bps", limit: 10_485_760 },
    { device: "/dev/disk/by-id/x", rate: "read-bps", limit: 1000 },
    { device: "/dev/vda", rate: "write-iops", limit: 5 },
  ]);
  assert.deepEqual(tuningFaults(annotations, ["db", "web"]), []);
  assert.deepEqual(containerTuning(undefined, "web"), {
    ulimits: [],
    blkioWeight: undefined,
    deviceLimits: [],
    cpusetCpus: undefined,
    cpusetMems: undefined,
  });
});

test("a pod is paused as a whole or in part", () => {
  const paused = (value: string) => pausedContainers({ "tessera.dev/paused": value }, ["a", "b"]);
  assert.deepEqual(paused("true"), ["a", "b"]);
  assert.deepEqual(paused("false"), []);
  assert.deepEqual(paused("b"), ["b"]);
  assert.deepEqual(paused("a, b"), ["a", "b"]);
  assert.deepEqual(pausedContainers(undefined, ["a"]), []);
});

const refused: readonly [annotation: string, value: string, message: RegExp][] = [
  ["ulimits", "nofile", /"nofile" is not like nofile=1024/],
  ["ulimits", "files=1", /no ulimit "files"; there are core, /],
  ["ulimits", "nofile=1,nofile=2", /nofile is set twice/],
  ["ulimits", "nofile=-2", /a whole number, "unlimited" or -1/],
  ["ulimits", "nofile=2:1", /soft limit is above the hard one/],
  ["ulimits", "nofile=unlimited:1", /soft limit is above the hard one/],
  ["ulimits.other", "nofile=1", /no container "other"/],
  ["blkio-weight", "5", /from 10 to 1000/],
  ["blkio-weight", "1e2", /from 10 to 1000/],
  ["device-read-bps", "vda:1Mi", /"vda:1Mi" is not like \/dev\/vda:10Mi/],
  ["device-read-bps", "/dev/../etc:1", /is not like/],
  ["device-write-bps", "/dev/vda:fast", /"fast" is not a quantity/],
  ["device-write-bps", "/dev/vda:0", /at least 1 per second/],
  ["device-read-iops", "/dev/vda:1,/dev/vda:2", /limited twice/],
  ["cpuset-cpus", "some", /numbers and ranges of them/],
  ["cpuset-cpus", "", /numbers and ranges of them/],
  ["cpuset-cpus", "3-1", /numbers and ranges of them/],
  ["cpuset-mems", "0,", /numbers and ranges of them/],
  ["cpuset-mems.other", "0", /no container "other"/],
  ["paused", "yes", /must be "true", "false" or names of containers; the pod has no container "yes"/],
];
for (const [name, value, message] of refused) {
  test(`tessera.dev/${name}=${value} is refused`, () => {
    const annotation = `tessera.dev/${name}`;
    const [fault, ...more] = tuningFaults({ [annotation]: value, "tessera.dev/else": "x", ulimits: "y" }, ["main"]);
    assert.deepEqual([fault?.annotation, fault?.value, more], [annotation, value, []]);
    assert.match(fault?.message ?? "", message);
    assert.equal(pausedContainers({ [annotation]: value }, ["main"]).length, 0);
  });
}
