import { globSync } from "node:fs";
import { resolve } from "node:path";

const repository = resolve(import.meta.dirname, "../..");
const nativeTests = (names: string, exclude: readonly string[] = []) =>
  globSync(`runtime-native/ts/${names}.native.test.ts`, { cwd: repository, exclude }).sort();

/** Makes the others run where only cgroup v2 is mounted, without its controllers: in the guest they do anyway. */
const outside = nativeTests("native-runtime-cgroup2");
// What takes longest comes first, so that it does not end alone.
const longContainerTests = nativeTests("{limits,native-runtime-exec}");
const longNodeTests = nativeTests("{host-ports,native-node-network}");

/** The native tests of containers. */
export const containerTests = [
  ...longContainerTests,
  ...nativeTests("{container-*,image-volumes,native-runtime*,propagation,subpath}", [...longContainerTests, ...outside]),
];

/** All other native tests of the runtime: files, network, C units. */
export const nodeTests = [...longNodeTests, ...nativeTests("*", [...longNodeTests, ...containerTests, ...outside])];
