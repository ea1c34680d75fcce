export * from "./host-files.ts";
export * from "./native-host-files.ts";
export * from "./native-library.ts";
export * from "./node-network.ts";
export * from "./runtime.ts";
