import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exitCode } from "../command.ts";
import { FakeServer } from "../testing/fake-server.ts";
import { runTsctl } from "../testing/run.ts";
import { commands, groups } from "./index.ts";

/** Command lines that cannot be meant; none of them asks a server. */
const wrong: readonly [string, RegExp][] = [
  ["gett pods", /unknown command 'gett'[\s\S]*Did you mean get\?/],
  ["get", /say what to get: "tsctl get TYPE/],
  ["get pods --wat", /unknown option '--wat'[\s\S]*Did you mean --watch\?/],
  ["get pods -o xml", /-o "xml" is no output format; there are wide, json, yaml, name and jsonpath/],
  ["get pods -o jsonpath={.a", /jsonpath "\{\.a": expected "}" at its end/],
  ["get pod a -A", /a named object is in one namespace/],
  ["get pod a -l x=y", /a selector chooses among all objects/],
  ["get pods,nodes -w", /-w follows one type at a time/],
  ["get pod a b -w", /-w follows one object/],
  ["get pod/a b", /"b" is not TYPE\/NAME/],
  ["get pods -n Shop", /"Shop" cannot be the name of a namespace/],
  ["join-token create --ttl soon", /--ttl "soon" is not a duration/],
  ["join-token create --node a --reusable", /either --node or --reusable/],
  ["join-token create --server host", /--server "host" is not HOST:PORT/],
  ["join-token delete ABC", /"ABC" is not the id of a join token/],
  ["describe", /say what to describe/],
  ["apply", /say which files to apply/],
  ["apply x.yaml", /too many arguments|apply takes files with -f/],
  ["apply -f x --dry-run=client", /--dry-run=client cannot know what the server has/],
  ["apply -f x --validate=maybe", /--validate=maybe is not known/],
  ["logs", /say whose: tsctl logs POD/],
  ["logs a -l x=y", /either a pod or -l/],
  ["logs a b --all-containers", /either a container or --all-containers/],
  ["logs a --tail=x", /--tail "x" is not a number/],
  ["logs a --since=soon", /--since "soon" is not a duration/],
  ["logs a --since=1s --since-time=2026-01-01T00:00:00Z", /either --since or --since-time/],
  ["logs a -f -p", /a run that is over has nothing to follow/],
  ["logs node/a", /"node\/a" is no pod/],
  ["exec", /missing required argument 'pod'/],
  ["exec a", /say what to run, after --: tsctl exec a -- COMMAND/],
  ["exec deployment/a -- ls", /"deployment\/a" is no pod/],
  ["delete", /say what to delete/],
  ["delete pods", /say which: NAME\.\.\., -l LABELS or --all/],
  ["delete pod a --all", /either names or -l, --field-selector and --all/],
  ["delete pod a -f x.yaml", /either -f or names/],
  ["delete pod a --grace-period=x", /--grace-period "x" is not a number of seconds/],
  ["delete pod a --grace-period=0", /a grace period of 0 kills at once: say --force/],
  ["delete pod a --grace-period=5 --force", /--force has no grace period/],
  ["delete pod a --timeout=x", /--timeout "x" is not a duration/],
  ["wait pod/a", /required option '--for <goal>' not specified/],
  ["wait pods --for=delete", /say which/],
  ["wait pod/a --for=ready", /--for "ready" is not known/],
  ["wait pod/a --for=condition=Ready --timeout=x", /--timeout "x" is not a duration/],
  ["wait pod/a --for=jsonpath={.a[}", /jsonpath/],
  ["events --for hello", /--for "hello" is not TYPE\/NAME/],
  ["events -w -o json", /use "tsctl get events -w -o/],
  ["explain", /missing required argument 'field'/],
  ["explain pod.", /a field has no empty name/],
  ["api-resources -o xml", /-o "xml" is not known here/],
  ["api-resources --namespaced=maybe", /neither true nor false/],
  ["image load", /missing required argument 'file'/],
  ["completion tcsh", /no completion for "tcsh"/],
  ["dev up --nodes x", /--nodes "x" is not a number/],
  ["dev up --timeout x", /--timeout "x" is not a duration/],
  ["dev status -o xml", /-o "xml" is not known here/],
  ["dev doctor --timeout x", /--timeout "x" is not a duration/],
];

describe("a command line that cannot be meant", () => {
  for (const [line, said] of wrong) {
    it(`tsctl ${line}`, async () => {
      const { code, stdout, stderr } = await runTsctl(line.split(" "));
      assert.match(stderr, said);
      assert.equal(code, exitCode.usage);
      assert.equal(stdout, "");
    });
  }
});

describe("without a cluster", () => {
  it("says which kubeconfig was looked for, and how to get a cluster", async () => {
    const { code, stderr } = await runTsctl(["get", "pods"]);
    assert.equal(code, 1);
    assert.match(stderr, /no cluster is known: there is no kubeconfig at .*config; "tsctl dev up" brings a cluster up/);
  });

  it("says that nothing listens", async () => {
    const { code, stderr } = await runTsctl(["get", "pods"], { server: { url: "http://127.0.0.1:1" }, useKubeconfig: true });
    assert.equal(code, 1);
    assert.match(stderr, /cannot reach the server http:\/\/127\.0\.0\.1:1: connection refused[\s\S]*tsctl dev status/);
  });

  it("says which contexts there are", async () => {
    const { code, stderr } = await runTsctl(["get", "pods", "--context", "nope"], {
      server: { url: "http://127.0.0.1:1" },
      useKubeconfig: true,
    });
    assert.equal(code, 1);
    assert.match(stderr, /has no context "nope"; it has test/);
  });
});

describe("with a kubeconfig", () => {
  it("asks its server, in its namespace, and gives no token to a connection that anybody can read", async () => {
    await using server = await FakeServer.start();
    server.on("GET /api/v1/namespaces/shop/pods", { body: { items: [] } });
    const { code } = await runTsctl(["get", "pods", "-o", "name"], { server, useKubeconfig: true });
    assert.equal(code, 0);
    assert.equal(server.requests.at(-1)?.path, "/api/v1/namespaces/shop/pods");
    assert.equal(server.requests.at(-1)?.headers.authorization, undefined);
  });
});

describe("every command", () => {
  it("has help with an example", async () => {
    const { stdout } = await runTsctl(["--help"]);
    const names = [...stdout.matchAll(/^ {2}([a-z][a-z-]+)/gm)].map(([, name = ""]) => name).filter((name) => name !== "help");
    assert.ok(names.length > 10, stdout);
    for (const name of names) {
      const help = await runTsctl([name, "--help"]);
      assert.equal(help.code, 0);
      if (!(name in groups)) assert.match(help.stdout, /Examples:\n[\s\S]*tsctl /, name);
    }
    for (const { name } of commands) {
      const help = await runTsctl([...name.split(" "), "--help"]);
      assert.match(help.stdout, /Examples:\n[\s\S]*tsctl /, name);
    }
  });
});
