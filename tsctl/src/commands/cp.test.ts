import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type Header, pack } from "tar-stream";
import type { WebSocket } from "ws";
import { FakeServer } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";

const message = (channel: number, data: Uint8Array | string) => Buffer.concat([Buffer.of(channel), Buffer.from(data)]);

/** Ends the exec as the API does. */
function finish(socket: WebSocket, code: number): void {
  const details = { causes: [{ reason: "ExitCode", message: String(code) }] };
  const status = code === 0 ? { status: "Success" } : { status: "Failure", reason: "NonZeroExitCode", details };
  socket.send(message(3, JSON.stringify(status)));
  socket.close();
}

let folder: string;
let server: FakeServer;
const local = (...parts: string[]) => join(folder, "local", ...parts);
const inPod = (...parts: string[]) => join(folder, "pod", ...parts);

/** A pod whose commands are this machine's, run in a folder. */
async function podWith(program: string): Promise<FakeServer> {
  const fake = await FakeServer.start();
  fake.onWebSocket("/api/v1/namespaces/shop/pods/web/exec", (socket) => {
    const [name = "", ...args] = fake.requests.at(-1)?.query.getAll("command") ?? [];
    const command = program === "busybox" ? ["/bin/busybox", name, ...args] : [name, ...args];
    const child: ChildProcess = spawn(command[0] ?? "", command.slice(1), { cwd: inPod() });
    child.stdout?.on("data", (data: Buffer) => socket.send(message(1, data)));
    child.stderr?.on("data", (data: Buffer) => socket.send(message(2, data)));
    // A program that reads no further is no fault of the test.
    child.stdin?.on("error", () => undefined);
    socket.on("message", (data: Buffer) => {
      if (data[0] === 0) child.stdin?.write(data.subarray(1));
      else if (data[0] === 255) child.stdin?.end();
    });
    socket.on("close", () => child.kill());
    child.on("close", (code) => finish(socket, code ?? 137));
  });
  return fake;
}

/** A pod that sends this archive whatever it is asked. */
async function podThatSends(...entries: readonly (Partial<Header> & { readonly name: string })[]): Promise<FakeServer> {
  const archive = pack();
  for (const header of entries) archive.entry({ type: "file", ...header }, header.type === undefined ? "from the pod" : "");
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  const fake = await FakeServer.start();
  return fake.onWebSocket("/api/v1/namespaces/shop/pods/web/exec", (socket) => {
    socket.send(message(1, Buffer.concat(chunks)));
    finish(socket, 0);
  });
}

const cp = (...words: string[]) => runTsctl(["cp", "-c", "main", ...words], { server });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tsctl-cp-test-"));
  mkdirSync(local());
  mkdirSync(inPod());
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

for (const program of ["tar", "busybox"]) {
  describe(`cp with the pod's ${program}`, () => {
    beforeEach(async () => {
      server = await podWith(program);
    });

    it("copies a folder there and back as it is", async () => {
      const long = `${"d".repeat(90)}/${"e".repeat(90)}/${"f".repeat(200)}`;
      mkdirSync(local("site", long), { recursive: true });
      mkdirSync(local("site/empty"), { mode: 0o750 });
      writeFileSync(local("site", long, "größe"), "long and not ASCII");
      writeFileSync(local("site/run.sh"), "#!/bin/sh\n", { mode: 0o755 });
      writeFileSync(local("site/big"), Buffer.alloc(3_000_001, "x"));
      writeFileSync(local("site/nothing"), "");
      symlinkSync("run.sh", local("site/link"));
      assert.deepEqual(await cp(local("site"), "web:there"), { code: 0, stdout: "", stderr: "" });
      assert.equal(readFileSync(inPod("there", long, "größe"), "utf8"), "long and not ASCII");
      assert.equal(readFileSync(inPod("there/big")).length, 3_000_001);
      assert.equal(statSync(inPod("there/run.sh")).mode & 0o777, 0o755);
      assert.equal(readlinkSync(inPod("there/link")), "run.sh");
      assert.equal(statSync(inPod("there/empty")).mode & 0o777, 0o750);

      const back = await cp("web:there", local("back"));
      assert.equal(back.code, 0, back.stderr);
      assert.equal(back.stderr, "note: ./there/link is not copied: it is a link to run.sh\n");
      rmSync(local("site/link"));
      execFileSync("diff", ["-r", local("site"), local("back")]);
      assert.equal(statSync(local("back/run.sh")).mode & 0o777, 0o755);
    });

    it("copies into a folder that is there, and a file under another name", async () => {
      mkdirSync(inPod("etc"));
      writeFileSync(local("settings"), "one");
      await cp(local("settings"), "web:etc");
      await cp(local("settings"), "web:etc/other");
      assert.deepEqual(readdirSync(inPod("etc")).sort(), ["other", "settings"]);
      await cp("web:etc/other", local());
      await cp("web:etc/other", local("third"));
      assert.deepEqual(readdirSync(local()).sort(), ["other", "settings", "third"]);
    });

    it("carries one file from stdin and to stdout", async () => {
      const { code } = await runTsctl(["cp", "-c", "main", "-", "web:data"], { server, input: "through stdin" });
      assert.deepEqual([code, readFileSync(inPod("data"), "utf8")], [0, "through stdin"]);
      assert.deepEqual(await cp("web:data", "-"), { code: 0, stdout: "through stdin", stderr: "" });
      mkdirSync(inPod("folder"));
      assert.match((await cp("web:folder", "-")).stderr, /folder is no file, so it cannot go to stdout/);
      assert.match((await runTsctl(["cp", "-c", "main", "-", "web:folder"], { server, input: "" })).stderr, /say which file of it/);
    });

    it("leaves modes to whoever unpacks with --no-preserve", async () => {
      writeFileSync(inPod("secret"), "", { mode: 0o600 });
      await cp("--no-preserve", "web:secret", local("secret"));
      assert.equal(statSync(local("secret")).mode & 0o777, 0o666 & ~process.umask());
    });

    it("says what is missing, on either side", async () => {
      const there = await cp("web:nowhere", local("x"));
      assert.equal(there.code, 1);
      assert.match(there.stderr, /the copy of web:nowhere is not complete: tar ended with \d in the container: .*nowhere/);
      assert.deepEqual(await cp(local("nowhere"), "web:x"), {
        code: 1,
        stdout: "",
        stderr: `error: there is no file ${local("nowhere")}\n`,
      });
      writeFileSync(local("file"), "");
      assert.match((await cp(local("file"), "web:no/folder/file")).stderr, /web:no\/folder\/file is not complete: tar ended with/);
    });
  });
}

describe("cp out of a pod that means harm", () => {
  for (const [sentence, entry, refusal] of [
    ["a name that climbs", { name: "data/../../escaped" }, /leads out of the destination/],
    ["an absolute name", { name: "/escaped" }, /leads out of the destination/],
    ["another name than was asked for", { name: "other" }, /was not asked for/],
    ["a further name of a file of ours", { name: "data/x", type: "link", linkname: "data/../../local/mine" }, /leads out/],
    ["a further name of what did not come", { name: "data/x", type: "link", linkname: "data/mine" }, /did not come/],
  ] as const) {
    it(`refuses ${sentence}`, async () => {
      server = await podThatSends(entry);
      mkdirSync(local("into"));
      writeFileSync(local("into/mine"), "mine");
      const { code, stderr } = await cp("web:data", local("into"));
      assert.equal(code, 1);
      assert.match(stderr, refusal);
      assert.deepEqual(readdirSync(local()), ["into"]);
      assert.deepEqual(readdirSync(folder).sort(), ["local", "pod"]);
    });
  }

  it("never writes through a link: neither one that it brings nor one that lies there", async () => {
    server = await podThatSends(
      { name: "data", type: "directory" },
      { name: "data/brought", type: "symlink", linkname: local("target") },
      { name: "data/brought/evil" },
      { name: "data/fine" },
    );
    mkdirSync(local("target"));
    const brought = await cp("web:data", local("into"));
    assert.equal(brought.code, 0);
    assert.match(brought.stderr, /brought is not copied: it is a link to/);
    assert.deepEqual(readdirSync(local("target")), []);
    assert.equal(readFileSync(local("into/brought/evil"), "utf8"), "from the pod");

    rmSync(local("into"), { recursive: true });
    mkdirSync(local("into"));
    symlinkSync(local("target"), local("into/brought"));
    assert.match((await cp("web:data", local("into"))).stderr, /brought is in the way: .* links are not followed/);
    rmSync(local("into/brought"));
    symlinkSync(local("target/fine"), local("into/fine"));
    assert.match((await cp("web:data", local("into"))).stderr, /into\/fine is a link, which is not followed/);
    assert.deepEqual(readdirSync(local("target")), []);
  });

  it("never takes half an archive for the whole", async () => {
    server = await FakeServer.start();
    server.onWebSocket("/api/v1/namespaces/shop/pods/web/exec", (socket) => {
      socket.send(message(1, execFileSync("tar", ["-C", folder, "-cf", "-", "./pod"]).subarray(0, 700)));
      finish(socket, 0);
    });
    writeFileSync(inPod("file"), "x".repeat(2000));
    const { code, stderr } = await cp("web:pod", local("into"));
    assert.equal(code, 1);
    assert.match(stderr, /Unexpected end of data/);
  });
});

describe("cp's words", () => {
  beforeEach(async () => {
    server = await FakeServer.start();
  });

  it("wants exactly one end in a pod", async () => {
    assert.match((await cp("a", "b")).stderr, /one end of the copy must be in a pod: POD:PATH/);
    assert.match((await cp("a:b", "c:d")).stderr, /cp POD:PATH FILE/);
    assert.match((await cp("a:", "c")).stderr, /says no path in the pod/);
    assert.match((await cp("x/y/z:a", "c")).stderr, /names no pod/);
  });

  it("takes a namespace before the pod", async () => {
    await cp("other/web:data", local("x"));
    assert.equal(server.requests.at(-1)?.path, "/api/v1/namespaces/other/pods/web/exec");
  });
});
