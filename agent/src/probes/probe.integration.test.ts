import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { after, describe, it } from "node:test";
import { Server as GrpcServer, ServerCredentials, type ServiceError, status, type UntypedHandleCall } from "@grpc/grpc-js";
import type { LifecycleHandler, Probe } from "@tessera/proto";
import { systemClock } from "../clock.ts";
import { runHook } from "./hook.ts";
import { type ActionTarget, runProbe } from "./probe.ts";
import { probesOf } from "./schedule.ts";

const HOST = "127.0.0.1";
const servers: { close(): void }[] = [];
after(() => {
  for (const server of servers) server.close();
});

async function listen<S extends Server>(server: S): Promise<number> {
  servers.push({ close: () => server.close() });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  return (server.address() as AddressInfo).port;
}

/** A key and a certificate that nobody signed. */
function selfSigned(): { key: string; cert: string } {
  const options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=nobody", "-keyout", "-", "-out", "-"];
  const pem = execFileSync("openssl", ["req", "-x509", ...options], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return { key: pem, cert: pem };
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const never: ActionTarget["runCommand"] = () => assert.fail("no command was to be run");

async function look(probe: Probe, target: Partial<ActionTarget> = {}, signal = AbortSignal.timeout(30_000)) {
  const [settings] = probesOf({ livenessProbe: probe });
  assert.ok(settings);
  return await runProbe(settings, { address: HOST, spec: { name: "main" }, runCommand: never, ...target }, signal);
}

describe("an httpGet probe", () => {
  const requests: IncomingMessage[] = [];
  const serve = async (answer: RequestListener) => {
    return await listen(
      createHttpServer((request, response) => {
        requests.push(request);
        answer(request, response);
      }),
    );
  };

  for (const [code, outcome] of [
    [200, "success"],
    [204, "success"],
    [399, "success"],
    [400, "failure"],
    [503, "failure"],
  ] as const) {
    it(`takes status ${code} as a ${outcome}`, async () => {
      const port = await serve((_request, response) => response.writeHead(code).end("body"));
      const result = await look({ httpGet: { port, path: "/" } });
      assert.equal(result.outcome, outcome);
      if (outcome === "failure") assert.equal(result.message, `HTTP probe failed with statuscode: ${code}`);
    });
  }

  it("asks for the path with the headers that it is given, and says that it is a probe", async () => {
    const port = await serve((_request, response) => response.end());
    const httpHeaders = [
      { name: "Host", value: "shop.example" },
      { name: "X-Part", value: "one" },
      { name: "X-Part", value: "two" },
      { name: "Accept", value: "" },
    ];
    await look(
      { httpGet: { port: "web", path: "health?deep=1&ü#part", httpHeaders } },
      { spec: { ports: [{ name: "web", containerPort: port }] } },
    );
    const { url, headers } = requests.at(-1) ?? {};
    assert.equal(url, "/health?deep=1&%C3%BC");
    assert.deepEqual([headers?.host, headers?.["x-part"], headers?.accept], ["shop.example", "one, two", undefined]);
    assert.match(headers?.["user-agent"] ?? "", /^kube-probe\//);
  });

  it("follows redirects on the same host, and takes one to another host as an answer", async () => {
    const port = await serve((request, response) => {
      const location = { "/": "/next", "/next": "fine", "/away": "http://other.example/secret" }[request.url ?? ""];
      if (location !== undefined) response.writeHead(302, { location }).end();
      else response.writeHead(request.url === "/fine" ? 200 : 500).end();
    });
    assert.deepEqual(await look({ httpGet: { port, path: "/" } }), { outcome: "success", message: "" });
    const away = await look({ httpGet: { port, path: "/away" } });
    assert.deepEqual(away, { outcome: "success", message: "redirected to http://other.example/secret, which is not followed" });
  });

  it("goes round in circles only so often", async () => {
    const port = await serve((_request, response) => response.writeHead(302, { location: "/" }).end());
    requests.length = 0;
    assert.equal((await look({ httpGet: { port } })).outcome, "success");
    assert.equal(requests.length, 11);
  });

  it("reads no more than the beginning of an answer without end", async () => {
    let sent = 0;
    const port = await serve((_request, response) => {
      const chunk = Buffer.alloc(4096, "x");
      const timer = setInterval(() => {
        sent += chunk.length;
        response.write(chunk);
      }, 1);
      response.on("close", () => clearInterval(timer));
    });
    assert.equal((await look({ httpGet: { port }, timeoutSeconds: 5 })).outcome, "success");
    assert.ok(sent < 1 << 20, `${sent} bytes were sent`);
  });

  it("says when nobody listens, and when no answer comes in time", async () => {
    const closed = await freePort();
    assert.deepEqual(await look({ httpGet: { port: closed, path: "/up" } }), {
      outcome: "failure",
      message: `Get "http://${HOST}:${closed}/up": dial tcp ${HOST}:${closed}: connect: connection refused`,
    });
    const silent = await serve(() => undefined);
    assert.deepEqual(await look({ httpGet: { port: silent } }), { outcome: "failure", message: "timed out after 1s" });
  });

  it("does not check certificates", async () => {
    const port = await listen(createHttpsServer(selfSigned(), (_request, response) => response.end()));
    assert.equal((await look({ httpGet: { port, scheme: "HTTPS" } })).outcome, "success");
    assert.equal((await look({ httpGet: { port, scheme: "HTTP" } })).outcome, "failure");
  });

  it("finds the host that it names, or says that there is none", async () => {
    const port = await serve((_request, response) => response.end());
    assert.equal((await look({ httpGet: { port, host: "localhost" } }, { address: "192.0.2.1" })).outcome, "success");
    const result = await look({ httpGet: { port, host: "no-such-host.invalid", path: "/" }, timeoutSeconds: 5 });
    assert.equal(result.outcome, "failure");
    assert.match(result.message, /no address found for host "no-such-host\.invalid"/);
  });

  it("says that the container has no port of that name", async () => {
    const result = await look({ httpGet: { port: "web" } });
    assert.deepEqual(result, { outcome: "failure", message: 'container "main" has no port named "web"' });
  });

  it("says nothing of a container whose pod has no address yet", async () => {
    assert.deepEqual(await look({ httpGet: { port: 1 } }, { address: undefined }), {
      outcome: "unknown",
      message: "the pod has no address",
    });
  });
});

describe("a tcpSocket probe", () => {
  it("is content with a connection, which it closes again", async () => {
    const closed = Promise.withResolvers<void>();
    const port = await listen(createTcpServer((socket) => socket.on("close", () => closed.resolve()).resume()));
    assert.equal((await look({ tcpSocket: { port } }, { address: undefined })).outcome, "unknown");
    assert.equal((await look({ tcpSocket: { port, host: HOST } }, { address: "192.0.2.1" })).outcome, "success");
    await closed.promise;
  });

  it("says when nobody listens", async () => {
    const port = await freePort();
    const message = `dial tcp ${HOST}:${port}: connect: connection refused`;
    assert.deepEqual(await look({ tcpSocket: { port } }), { outcome: "failure", message });
  });
});

describe("a grpc probe", () => {
  /** A server of the health protocol: which status it gives for which service; a number over 100 is the error with the code above it. */
  async function serve(statuses: Record<string, number>): Promise<number> {
    const server = new GrpcServer();
    const check: UntypedHandleCall = (
      call: { request: { service: string } },
      callback: (error: Partial<ServiceError> | null, value?: number) => void,
    ) => {
      const answer = statuses[call.request.service] ?? 100 + status.NOT_FOUND;
      if (answer > 100) callback({ code: answer - 100, details: "no" });
      else callback(null, answer);
    };
    const method = {
      path: "/grpc.health.v1.Health/Check",
      requestStream: false,
      responseStream: false,
      requestSerialize: () => Buffer.alloc(0),
      // Written out by hand here as well: a name of less than 128 bytes is field 1 with its length.
      requestDeserialize: (bytes: Buffer) => ({ service: bytes.subarray(2).toString() }),
      responseSerialize: (value: number) => (value === 0 ? Buffer.alloc(0) : Buffer.from([8, value])),
      responseDeserialize: (bytes: Buffer) => bytes[1] ?? 0,
    };
    server.addService({ check: method }, { check });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${HOST}:0`, ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound)));
    });
    servers.push({ close: () => server.forceShutdown() });
    return port;
  }

  it("succeeds when the service says that it serves", async () => {
    const port = await serve({ "": 1, db: 2, odd: 0 });
    assert.deepEqual(await look({ grpc: { port } }), { outcome: "success", message: "" });
    assert.deepEqual(await look({ grpc: { port, service: "db" } }), {
      outcome: "failure",
      message: 'service unhealthy (responded with "NOT_SERVING")',
    });
    assert.match((await look({ grpc: { port, service: "odd" } })).message, /"UNKNOWN"/);
    assert.match((await look({ grpc: { port, service: "never" } })).message, /does not know the service "never"/);
  });

  it("says that a server does not speak the health protocol, or is not there", async () => {
    const other = await serve({ "": 100 + status.UNIMPLEMENTED });
    assert.match((await look({ grpc: { port: other } })).message, /does not implement the grpc health protocol/);
    const result = await look({ grpc: { port: await freePort() } });
    assert.equal(result.outcome, "failure");
    assert.match(result.message, /failed to connect to "127\.0\.0\.1:\d+"/);
  });

  it("does not wait for a server that is silent, and lets go of it", async () => {
    const closed = Promise.withResolvers<void>();
    const port = await listen(
      createTcpServer((socket) =>
        socket
          .on("error", () => undefined)
          .on("close", closed.resolve)
          .resume(),
      ),
    );
    assert.deepEqual(await look({ grpc: { port } }), { outcome: "failure", message: "timed out after 1s" });
    await closed.promise;
  });
});

describe("an exec probe", () => {
  const answering = (exitCode: number, output: string) => ({ runCommand: async () => ({ exitCode, output }) });

  it("goes by the exit code, and shows what the command said", async () => {
    assert.equal((await look({ exec: { command: ["x"] } }, answering(0, "fine"))).outcome, "success");
    assert.deepEqual(await look({ exec: { command: ["x"] } }, answering(3, "broken\u001b[31m\n")), {
      outcome: "failure",
      message: "broken?[31m",
    });
    assert.equal((await look({ exec: { command: ["x"] } }, answering(3, ""))).message, "the command exited with code 3");
  });

  it("fails when the command takes too long", async () => {
    const runCommand: ActionTarget["runCommand"] = (_command, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const result = await look({ exec: { command: ["sleep", "9"] } }, { runCommand });
    assert.deepEqual(result, { outcome: "failure", message: 'command "sleep 9" timed out after 1s' });
  });

  it("says nothing of the container when the node could not run the command", async () => {
    const runCommand = () => Promise.reject(new Error("the shim is gone"));
    assert.deepEqual(await look({ exec: { command: ["x"] } }, { runCommand }), { outcome: "unknown", message: "the shim is gone" });
  });
});

describe("a hook", () => {
  const hook = async (handler: LifecycleHandler, target: Partial<ActionTarget> = {}) => {
    const whole = { address: HOST, spec: { name: "main", ports: [] }, runCommand: never, ...target };
    await runHook(handler, whole, systemClock, AbortSignal.timeout(30_000));
  };

  it("asks for a path at the pod's port, and takes whatever it is answered", async () => {
    const asked: (string | undefined)[] = [];
    const port = await listen(
      createHttpServer((request, response) => {
        asked.push(`${request.method} ${request.url} ${request.headers["x-hook"]}`);
        response.writeHead(500).end();
      }),
    );
    const httpHeaders = [{ name: "X-Hook", value: "yes" }];
    await hook(
      { httpGet: { path: "/bye", port: "web", httpHeaders } },
      { spec: { name: "main", ports: [{ name: "web", containerPort: port }] } },
    );
    assert.deepEqual(asked, ["GET /bye yes"]);
    await assert.rejects(hook({ httpGet: { port: await freePort() } }), /connection refused/);
  });

  it("runs a command, whose exit code says whether it failed", async () => {
    const commands: string[] = [];
    const answering = (exitCode: number, output: string) => ({
      runCommand: async (command: readonly string[]) => {
        commands.push(command.join(" "));
        return { exitCode, output };
      },
    });
    await hook({ exec: { command: ["say", "bye"] } }, answering(0, ""));
    await assert.rejects(
      hook({ exec: { command: ["say"] } }, answering(3, "nobody there\n")),
      /command "say" exited with code 3: nobody there/,
    );
    assert.deepEqual(commands, ["say bye", "say"]);
  });

  it("can be nothing else", async () => {
    await assert.rejects(hook({ tcpSocket: { port: 1 } }), /exec, httpGet or sleep/);
  });
});
