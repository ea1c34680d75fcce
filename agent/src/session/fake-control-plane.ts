import { type handleBidiStreamingCall, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import type { Pod } from "@tessera/proto";
import { type ControlMessage, type NodeMessage, NodeServiceService, type OpenStream, type StreamFrame } from "@tessera/proto/node";

type SessionCall = ServerDuplexStream<NodeMessage, ControlMessage>;
export type AgentStream = ServerDuplexStream<StreamFrame, StreamFrame>;

/** The control plane's side of the node protocol, for tests: keeps what agents say and says what a test wants. */
export class FakeControlPlane {
  /** All messages of all sessions, in order. */
  readonly heard: NonNullable<NodeMessage["message"]>[] = [];
  sessions = 0;
  podUids: string[] = [];
  #server = new Server();
  #session: SessionCall | undefined;
  readonly #streams = new Map<string, AgentStream>();
  readonly #wanted = new Map<string, (call: AgentStream) => void>();
  #port = 0;
  #nextStream = 1;

  /** Listens, on the same port as before when it was stopped in between. */
  async start(): Promise<void> {
    this.#server = new Server();
    const session: handleBidiStreamingCall<NodeMessage, ControlMessage> = (call) => this.#accept(call);
    const stream: handleBidiStreamingCall<StreamFrame, StreamFrame> = (call) => {
      const id = String(call.metadata.get("tessera-stream-id")[0]);
      this.#streams.set(id, call);
      this.#wanted.get(id)?.(call);
    };
    this.#server.addService(NodeServiceService, { session, stream });
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(`127.0.0.1:${this.#port}`, ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  /** As kill -9 does: connections break without a word. */
  stop(): void {
    this.#session = undefined;
    this.#server.forceShutdown();
  }

  get target(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Ends the session well, as at a restart in order. */
  endSession(): void {
    this.#session?.end();
  }

  say(message: NonNullable<ControlMessage["message"]>): void {
    this.#session?.write({ message });
  }

  assign(pod: Pod): void {
    this.say({ $case: "assignPod", value: { pod: Buffer.from(JSON.stringify(pod)) } });
  }

  /** Asks for a stream and waits for the agent to dial. */
  async open(request: OpenStream["request"]): Promise<AgentStream> {
    const streamId = `stream-${this.#nextStream++}`;
    const dialled = new Promise<AgentStream>((resolve) => this.#wanted.set(streamId, resolve));
    this.say({ $case: "openStream", value: { streamId, request } });
    return await dialled;
  }

  /** What was heard of one kind. */
  of<K extends NonNullable<NodeMessage["message"]>["$case"]>(
    kind: K,
  ): Extract<NonNullable<NodeMessage["message"]>, { $case: K }>["value"][] {
    return this.heard.flatMap((message) => (message.$case === kind ? [message.value] : [])) as never;
  }

  #accept(call: SessionCall): void {
    this.sessions += 1;
    this.#session = call;
    call.on("data", ({ message }: NodeMessage) => {
      if (message === undefined) return;
      this.heard.push(message);
      if (message.$case !== "hello") return;
      call.write({ message: { $case: "welcome", value: { podCidr: "10.64.7.0/24", clusterCidr: "10.64.0.0/16", podUids: this.podUids } } });
    });
    call.on("end", () => call.end());
    call.on("error", () => undefined);
  }
}

/** Everything that the agent sends on a stream, and its exit. */
export async function collect(
  stream: AgentStream,
): Promise<{ stdout: string; stderr: string; exit: { code?: number; reason: string; message: string } }> {
  let [stdout, stderr] = ["", ""];
  for await (const { frame } of stream as AsyncIterable<StreamFrame>) {
    if (frame?.$case === "stdout") stdout += frame.value.toString();
    else if (frame?.$case === "stderr") stderr += frame.value.toString();
    else if (frame?.$case === "exit") {
      stream.end();
      return { stdout, stderr, exit: frame.value };
    }
  }
  throw new Error("the stream ended without an exit");
}
