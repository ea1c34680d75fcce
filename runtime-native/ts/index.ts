export * from "./capability-names.ts";
export * from "./host-files.ts";
export * from "./native-host-files.ts";
export * from "./native-library.ts";
export * from "./native-node-network.ts";
export { NativeRuntime, type NativeRuntimeParts } from "./native-runtime.ts";
export * from "./node-network.ts";
export * from "./runtime.ts";
