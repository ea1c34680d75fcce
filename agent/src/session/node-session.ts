import { type ChannelCredentials, type ClientDuplexStream, type ClientOptions, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { TesseraError } from "@tessera/proto";
import { type ControlMessage, type Hello, NodeMessage, NodeServiceClient, type OpenStream, type StreamFrame } from "@tessera/proto/node";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import type { Outbox } from "./outbox.ts";

/** Version of the node protocol that this agent speaks. */
export const PROTOCOL_VERSION = 1;

export type StreamCall = ClientDuplexStream<StreamFrame, StreamFrame>;

/** What the agent does with what the control plane says. Called in the order of the messages; nothing here waits. */
export interface SessionHandler {
  /** What the agent is and holds, as of now. */
  hello(): Omit<Hello, "protocolVersion">;
  message(message: NonNullable<ControlMessage["message"]>): void;
  /** Serves a stream; `dial` opens it. */
  openStream(request: OpenStream, dial: () => StreamCall): void;
  /** Whether the control plane can be reached has changed. */
  connected(isConnected: boolean): void;
}

export interface NodeSessionDependencies {
  /** HOST:PORT of the control plane. */
  readonly target: string;
  /** How to prove who we are; asked at each dial. */
  readonly credentials: () => ChannelCredentials;
  readonly handler: SessionHandler;
  readonly outbox: Outbox;
  readonly clock: Clock;
  /** Between 0 and 1. */
  readonly random: () => number;
  /** How long a connection may be silent before it is looked at. Default 10,000. */
  readonly keepaliveMs?: number;
  readonly log: Logger;
}

const WELCOME_TIMEOUT_MS = 10_000;
const RENEWAL_TIMEOUT_MS = 30_000;
const KEEPALIVE_MS = 10_000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;
/** A session that ended well is renewed at once only if it lived this long: two agents of one name must not chase each other. */
const WORTHWHILE_MS = 1_000;

const CHANNEL_OPTIONS: ClientOptions = {
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  // An object may be larger than grpc's 4 MB.
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  // This class has its own retries.
  "grpc.enable_retries": 0,
  // The certificate is held against the name that every control plane has, whatever address it is dialled by; TLS knows no addresses (RFC 6066).
  "grpc.ssl_target_name_override": "kubernetes",
  "grpc.default_authority": "kubernetes",
};

/** Keeps one session with the control plane open: dials, says hello, hands on what comes, and begins again when it ends. */
export class NodeSession {
  readonly #deps: NodeSessionDependencies;
  /** The connection that stands, and its session. */
  #open: { readonly client: NodeServiceClient; readonly call: ClientDuplexStream<NodeMessage, ControlMessage> } | undefined;

  constructor(deps: NodeSessionDependencies) {
    this.#deps = deps;
  }

  /** Runs until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    let failures = 0;
    while (!signal.aborted) {
      const startedAtMs = clock.now();
      const outcome = await this.#once(signal);
      if (signal.aborted) return;
      const wasWorthwhile = outcome.welcomed && clock.now() - startedAtMs >= WORTHWHILE_MS;
      failures = wasWorthwhile ? 0 : failures + 1;
      if (outcome.error !== undefined) log.warn({ err: outcome.error, failures }, "session with the control plane failed");
      else log.info("session with the control plane ended");
      if (failures > 0) await this.#pause(failures, signal);
    }
  }

  /** Ends the session in order and dials anew. Streams that run go on over the connection that they began on. */
  reconnect(): void {
    this.#open?.call.end();
  }

  /** Throws TesseraError "ServiceUnavailable" without a session, and whatever the control plane refuses with. */
  async renewCertificate(certificateSigningRequest: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    if (this.#open === undefined) throw new TesseraError("ServiceUnavailable", "there is no session with the control plane");
    const deadline = Date.now() + RENEWAL_TIMEOUT_MS;
    this.#open.client.renewCertificate({ certificateSigningRequest }, new Metadata(), { deadline }, (error, answer) => {
      if (error === null) resolve(answer.certificate);
      else reject(asFailure(error));
    });
    return await promise;
  }

  /** Waits longer after each failure, each agent for another time. */
  #pause(failures: number, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps;
    const longest = Math.min(FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 16), LONGEST_RETRY_MS);
    return new Promise((resolve) => {
      const cancel = clock.wakeAt(clock.now() + longest * (0.5 + random() / 2), resolve);
      signal.addEventListener(
        "abort",
        () => {
          cancel();
          resolve();
        },
        { once: true },
      );
    });
  }

  async #once(signal: AbortSignal): Promise<{ welcomed: boolean; error?: Error }> {
    const { target, credentials } = this.#deps;
    const options = { ...CHANNEL_OPTIONS, "grpc.keepalive_time_ms": this.#deps.keepaliveMs ?? KEEPALIVE_MS };
    const client = new NodeServiceClient(target, credentials(), options);
    const streams = new Set<StreamCall>();
    const closeWhenIdle = () => {
      // Not before the last stream has ended: a client that is closed gives up its connection at the next ping.
      if (this.#open?.client === client || (streams.size > 0 && !signal.aborted)) return;
      signal.removeEventListener("abort", closeWhenIdle);
      client.close();
    };
    const dial = (request: OpenStream): StreamCall => {
      const metadata = new Metadata();
      metadata.set("tessera-stream-id", request.streamId);
      const stream = client.stream(metadata);
      streams.add(stream);
      stream.on("status", () => {
        streams.delete(stream);
        closeWhenIdle();
      });
      return stream;
    };
    try {
      const call = client.session();
      this.#open = { client, call };
      return await this.#converse(call, dial, signal);
    } finally {
      this.#open = undefined;
      signal.addEventListener("abort", closeWhenIdle);
      closeWhenIdle();
    }
  }

  #converse(
    call: ClientDuplexStream<NodeMessage, ControlMessage>,
    dial: (request: OpenStream) => StreamCall,
    signal: AbortSignal,
  ): Promise<{ welcomed: boolean; error?: Error }> {
    const { handler, outbox, clock, log } = this.#deps;
    const { promise, resolve } = Promise.withResolvers<{ welcomed: boolean; error?: Error }>();
    let welcomed = false;
    let isWritable = true;
    const flush = () => {
      while (isWritable && welcomed) {
        const message = outbox.take();
        if (message === undefined) return;
        isWritable = call.write(message);
      }
    };
    const finish = (error?: Error) => {
      cancelTimeout();
      signal.removeEventListener("abort", abort);
      outbox.onFilled(undefined);
      if (welcomed) handler.connected(false);
      resolve(error === undefined ? { welcomed } : { welcomed, error });
    };
    const abort = () => call.cancel();
    const cancelTimeout = clock.wakeAt(clock.now() + WELCOME_TIMEOUT_MS, () => call.cancel());
    signal.addEventListener("abort", abort);

    call.on("data", ({ message }: ControlMessage) => {
      if (message === undefined) return;
      if (message.$case === "welcome") {
        welcomed = true;
        cancelTimeout();
        outbox.restart();
        outbox.onFilled(flush);
      } else if (!welcomed) {
        log.error({ message: message.$case }, "the control plane spoke before its welcome");
        call.cancel();
        return;
      }
      this.#hand(message, dial);
      if (message.$case === "welcome") handler.connected(true);
      flush();
    });
    call.on("drain", () => {
      isWritable = true;
      flush();
    });
    call.on("end", () => call.end());
    call.on("error", (error: ServiceError) => finish(asFailure(error)));
    call.on("status", ({ code }) => {
      if (code === status.OK) finish();
    });
    call.write(NodeMessage.create({ message: { $case: "hello", value: { ...handler.hello(), protocolVersion: PROTOCOL_VERSION } } }));
    return promise;
  }

  /** What one message does wrong must not end the session: the next may be right. */
  #hand(message: NonNullable<ControlMessage["message"]>, dial: (request: OpenStream) => StreamCall): void {
    const { handler, log } = this.#deps;
    try {
      if (message.$case === "openStream") handler.openStream(message.value, () => dial(message.value));
      else handler.message(message);
    } catch (error) {
      log.error({ err: error, message: message.$case }, "could not act on a message of the control plane");
    }
  }
}

function asFailure(error: ServiceError): Error {
  if (error.code === status.FAILED_PRECONDITION || error.code === status.PERMISSION_DENIED || error.code === status.UNAUTHENTICATED) {
    return new TesseraError("Forbidden", `the control plane refuses this agent: ${error.details}`, { cause: error });
  }
  return new TesseraError("ServiceUnavailable", `lost the control plane: ${error.details}`, { cause: error });
}
