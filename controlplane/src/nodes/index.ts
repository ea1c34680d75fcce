export { NodeServer, type NodeServerDependencies, type NodeServerSettings } from "./node-server.ts";
export type { NodeStream, NodeStreams } from "./node-streams.ts";
