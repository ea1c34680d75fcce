/** The agent as a part: what runs real nodes, and what hollow nodes are made of. */
export { Agent, type AgentParts } from "./agent.ts";
export { type Clock, systemClock } from "./clock.ts";
export type { NodeFacts } from "./node-facts.ts";
export { FakeHostFiles, FakeImages, FakeNetwork } from "./pod/testing/fake-host.ts";
export { FakeKernel, FakeRuntime } from "./pod/testing/fake-runtime.ts";
export { type NodeIdentity, readIdentity } from "./session/node-status.ts";
