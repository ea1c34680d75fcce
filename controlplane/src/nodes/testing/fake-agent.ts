import { credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { NodeStatus, Pod, PodStatus } from "@tessera/proto";
import {
  type ControlMessage,
  type HeldPod,
  type NodeMessage,
  NodeServiceClient,
  type RenewedCertificate,
  type StreamFrame,
} from "@tessera/proto/node";
import type { KeyPair } from "../../auth/certificate-authority.ts";
import { eventually } from "../../controllers/testing/fakes.ts";

type Case = NonNullable<ControlMessage["message"]>["$case"];
type ValueOf<C extends Case> = Extract<NonNullable<ControlMessage["message"]>, { $case: C }>["value"];

export interface FakeAgentOptions {
  readonly address: string;
  readonly caPem: string;
  readonly identity: KeyPair;
}

/** The agent's side of the node protocol over a real connection; it does nothing by itself. */
export class FakeAgent {
  readonly client: NodeServiceClient;
  constructor({ address, caPem, identity }: FakeAgentOptions) {
    const tls = credentials.createSsl(Buffer.from(caPem), Buffer.from(identity.keyPem), Buffer.from(identity.certPem));
    this.client = new NodeServiceClient(address, tls, { "grpc.enable_retries": 0 });
  }

  session(): FakeSession {
    return new FakeSession(this.client);
  }

  /** Says Hello and waits until everything that a new session must know has come. */
  async join(nodeName: string, options: HelloOptions = {}): Promise<FakeSession> {
    const session = this.session();
    session.hello(nodeName, options);
    await session.received("synced");
    return session;
  }

  /** Dials in for a stream. */
  stream(streamId: string) {
    const metadata = new Metadata();
    metadata.set("tessera-stream-id", streamId);
    return new FakeStream(this.client.stream(metadata));
  }

  async renewCertificate(certificateSigningRequest: string): Promise<RenewedCertificate> {
    return await new Promise((resolve, reject) =>
      this.client.renewCertificate({ certificateSigningRequest }, (error, answer) => (error === null ? resolve(answer) : reject(error))),
    );
  }

  close(): void {
    this.client.close();
  }
}

export interface HelloOptions {
  readonly held?: readonly HeldPod[];
  readonly status?: NodeStatus;
  readonly labels?: Record<string, string>;
  readonly protocolVersion?: number;
}

export class FakeSession {
  readonly messages: NonNullable<ControlMessage["message"]>[] = [];
  /** How the session ended. */
  ended: { readonly code: status; readonly details: string } | undefined;
  readonly #call: ReturnType<NodeServiceClient["session"]>;
  constructor(client: NodeServiceClient) {
    this.#call = client.session();
    this.#call.on("data", ({ message }: ControlMessage) => {
      if (message) this.messages.push(message);
    });
    this.#call.on("error", ({ code, details }: ServiceError) => {
      this.ended ??= { code, details };
    });
    this.#call.on("end", () => {
      this.#call.on("status", ({ code, details }) => {
        this.ended ??= { code, details };
      });
    });
  }

  send(message: NonNullable<NodeMessage["message"]>): void {
    this.#call.write({ message });
  }

  hello(
    nodeName: string,
    { held = [], status: nodeStatus = aNodeStatus("10.0.0.1"), labels = {}, protocolVersion = 1 }: HelloOptions = {},
  ): void {
    const value = { nodeName, nodeStatus: Buffer.from(JSON.stringify(nodeStatus)), labels, pods: [...held], protocolVersion };
    this.send({ $case: "hello", value });
  }

  podStatus(pod: Pod, podStatus: PodStatus): void {
    this.send({ $case: "podStatus", value: { ...nameOf(pod), status: Buffer.from(JSON.stringify(podStatus)) } });
  }

  podGone(pod: Pod): void {
    this.send({ $case: "podGone", value: nameOf(pod) });
  }

  nodeStatus(nodeStatus: NodeStatus): void {
    this.send({ $case: "nodeStatus", value: { status: Buffer.from(JSON.stringify(nodeStatus)) } });
  }

  /** All messages of one kind so far. */
  all<C extends Case>(kind: C): ValueOf<C>[] {
    return this.messages
      .filter((message): message is Extract<typeof message, { $case: C }> => message.$case === kind)
      .map((m) => m.value as ValueOf<C>);
  }

  /** The pods of all AssignPod messages so far. */
  assigned(): Pod[] {
    return this.all("assignPod").map(({ pod }) => JSON.parse(pod.toString()) as Pod);
  }

  /** The first message of the kind that the claim holds for. */
  async received<C extends Case>(kind: C, holds: (value: ValueOf<C>) => boolean = () => true): Promise<ValueOf<C>> {
    let found: ValueOf<C> | undefined;
    await eventually(`a ${kind} comes (ended: ${JSON.stringify(this.ended)})`, () => {
      found = this.all(kind).find(holds);
      return found !== undefined;
    });
    return found as unknown as ValueOf<C>;
  }

  async end(): Promise<{ code: status; details: string }> {
    await eventually("the session ends", () => this.ended !== undefined);
    return this.ended ?? { code: status.UNKNOWN, details: "" };
  }

  /** As an agent that is killed. */
  cut(): void {
    this.#call.cancel();
  }

  /** Reads nothing any more, as a stalled agent. */
  stall(): void {
    this.#call.pause();
  }

  unstall(): void {
    this.#call.resume();
  }
}

export class FakeStream {
  readonly frames: StreamFrame[] = [];
  error: ServiceError | undefined;
  readonly call: ReturnType<NodeServiceClient["stream"]>;
  constructor(call: ReturnType<NodeServiceClient["stream"]>) {
    this.call = call;
    call.on("data", (frame: StreamFrame) => this.frames.push(frame));
    call.on("error", (error: ServiceError) => {
      this.error = error;
    });
  }

  send(frame: NonNullable<StreamFrame["frame"]>): void {
    this.call.write({ frame });
  }
}

export function aNodeStatus(address: string): NodeStatus {
  return {
    capacity: { cpu: "2", memory: "4Gi", pods: "110" },
    allocatable: { cpu: "2", memory: "3Gi", pods: "110" },
    addresses: [{ type: "InternalIP", address }],
  };
}

export function held(pod: Pod): HeldPod {
  return { ...nameOf(pod), resourceVersion: pod.metadata?.resourceVersion ?? "" };
}

function nameOf(pod: Pod) {
  return { uid: pod.metadata?.uid ?? "", namespace: pod.metadata?.namespace ?? "", name: pod.metadata?.name ?? "" };
}
