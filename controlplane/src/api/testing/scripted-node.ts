import { TesseraError } from "@tessera/proto";
import type { OpenStream, StreamFrame } from "@tessera/proto/node";
import type { NodeStream, NodeStreams } from "../../nodes/node-streams.ts";

type Request = NonNullable<OpenStream["request"]>;
type Frame = NonNullable<StreamFrame["frame"]>;

/** What an agent of a test sees of a stream. */
export interface AgentSide {
  /** What the control plane sends; ends when it closes the stream. */
  readonly received: AsyncIterable<Frame>;
  stdout(text: string | Buffer): Promise<void>;
  stderr(text: string): Promise<void>;
  /** No more stdout, while stdin may go on. */
  endOutput(): Promise<void>;
  exit(code: number): Promise<void>;
  fail(reason: string, message: string): Promise<void>;
  /** The connection to the node breaks. */
  cut(): void;
  /** Aborted when the control plane has closed the stream. */
  readonly closed: AbortSignal;
}

export type Script = (request: Request, agent: AgentSide, nodeName: string) => Promise<void>;

/** Nodes whose agent does as the test says; the last script counts. */
export class ScriptedNodes implements NodeStreams {
  script: Script = async (_request, agent) => agent.exit(0);

  async open(nodeName: string, request: Request, signal: AbortSignal): Promise<NodeStream> {
    const toAgent = new Pipe<Frame>();
    const toApi = new Pipe<StreamFrame>();
    const closed = new AbortController();
    const say = (frame: Frame) => toApi.write({ frame });
    const lost = () => new TesseraError("ServiceUnavailable", `the connection to node ${nodeName} was lost`);
    const agent: AgentSide = {
      received: toAgent,
      stdout: (text) => say({ $case: "stdout", value: Buffer.from(text) }),
      stderr: (text) => say({ $case: "stderr", value: Buffer.from(text) }),
      endOutput: () => say({ $case: "stdoutClosed", value: {} }),
      exit: (code) => say({ $case: "exit", value: { code, reason: "", message: "" } }),
      fail: (reason, message) => say({ $case: "exit", value: { reason, message } }),
      cut: () => toApi.fail(lost()),
      closed: closed.signal,
    };
    void this.script(request, agent, nodeName).then(
      () => toApi.end(),
      (error: unknown) => toApi.fail(error),
    );
    const close = () => {
      closed.abort();
      toAgent.end();
      toApi.end();
    };
    signal.addEventListener("abort", close, { once: true });
    const gone = new Promise<never>((_, reject) => closed.signal.addEventListener("abort", () => reject(lost()), { once: true }));
    gone.catch(() => {});
    return {
      send: async ({ frame }) => {
        if (closed.signal.aborted) throw lost();
        if (frame !== undefined) await Promise.race([toAgent.write(frame), gone]);
      },
      frames: toApi,
      close,
    };
  }
}

/** A queue of one: a write ends when the value was taken. */
class Pipe<T> implements AsyncIterable<T> {
  readonly #values: { value: T; taken: () => void }[] = [];
  #end: { error?: unknown } | undefined;
  #wake: () => void = () => {};

  write(value: T): Promise<void> {
    return new Promise((taken) => {
      this.#values.push({ value, taken });
      this.#wake();
    });
  }

  end(): void {
    this.#end ??= {};
    this.#wake();
  }

  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const next = this.#values.shift();
      if (next !== undefined) {
        next.taken();
        yield next.value;
      } else if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
