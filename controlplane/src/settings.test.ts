import assert from "node:assert/strict";
import test from "node:test";
import { createProgram, type NodeCredentialsSettings, type RotateEncryptionKeySettings, type ServeSettings } from "./settings.ts";

type AnySettings = ServeSettings | NodeCredentialsSettings | RotateEncryptionKeySettings;

async function parse(...args: string[]): Promise<AnySettings | undefined> {
  const results: AnySettings[] = [];
  const keep = async (settings: AnySettings) => void results.push(settings);
  const program = createProgram({ serve: keep, nodeCredentials: keep, rotateEncryptionKey: keep });
  for (const command of [program, ...program.commands]) command.exitOverride().configureOutput({ writeErr: () => {} });
  await program.parseAsync(args, { from: "user" });
  return results[0];
}

test("serve has a default for everything but its folder", async () => {
  assert.deepEqual(await parse("serve", "--data-dir", "/d"), {
    dataDir: "/d",
    listen: ["127.0.0.1:6443"],
    nodeListen: ["127.0.0.1:6444"],
    advertise: [],
    clusterCidr: "10.64.0.0/16",
    nodeCidrBits: 24,
    certificateLifetimeMs: 365 * 86_400_000,
    nodeCertificateLifetimeMs: 365 * 86_400_000,
    logLevel: "info",
  });
});

test("addresses and names can be given several times", async () => {
  const settings = (await parse(
    "serve",
    "--data-dir",
    "/d",
    "--listen",
    "127.0.0.1:0",
    "--listen",
    "[::1]:0",
    "--advertise",
    "a",
  )) as ServeSettings;
  assert.deepEqual(settings.listen, ["127.0.0.1:0", "[::1]:0"]);
  assert.deepEqual(settings.advertise, ["a"]);
});

test("an etcd of one's own is given with its files", async () => {
  const settings = (await parse(
    "serve",
    "--data-dir",
    "/d",
    "--etcd-endpoints",
    "https://a:1,https://b:1",
    "--etcd-ca",
    "ca",
  )) as ServeSettings;
  assert.deepEqual(settings.etcd, { endpoints: ["https://a:1", "https://b:1"], caFile: "ca", certFile: undefined, keyFile: undefined });
});

test("a rotation adds a key unless it is told otherwise, and finds an etcd of one's own", async () => {
  assert.deepEqual(await parse("rotate-encryption-key", "--data-dir", "/d"), { dataDir: "/d", action: "add" });
  const etcd = { endpoints: ["http://a:1"], caFile: undefined, certFile: undefined, keyFile: undefined };
  assert.deepEqual(await parse("rotate-encryption-key", "--data-dir", "/d", "--prune", "--etcd-endpoints", "http://a:1"), {
    dataDir: "/d",
    action: "prune",
    etcd,
  });
});

for (const [sentence, args, text] of [
  ["a folder is needed", ["serve"], /--data-dir/],
  ["an address has a port", ["serve", "--data-dir", "d", "--listen", "localhost"], /expected HOST:PORT/],
  ["a port is a port", ["serve", "--data-dir", "d", "--listen", "a:99999"], /expected HOST:PORT/],
  ["a CIDR is an IPv4 network", ["serve", "--data-dir", "d", "--cluster-cidr", "10.0.0.0"], /expected an IPv4 network/],
  ["a lifetime has a unit", ["serve", "--data-dir", "d", "--certificate-lifetime", "90"], /expected a time such as 90d/],
  ["nodes get less than all", ["serve", "--data-dir", "d", "--node-cidr-bits", "16"], /must be greater than the 16/],
  ["a misspelt flag has a suggestion", ["serve", "--data-dir", "d", "--lissten", "a:1"], /Did you mean --listen\?/],
  ["a node's name is a DNS name", ["node-credentials", "--data-dir", "d", "--name", "A b", "--out", "o"], /expected a DNS name/],
  [
    "keys are not pruned while Secrets are discarded",
    ["rotate-encryption-key", "--data-dir", "d", "--prune", "--discard-unreadable"],
    /'--discard-unreadable' cannot be used with option '--prune'/,
  ],
] as const) {
  test(sentence, async () => {
    await assert.rejects(parse(...args), text);
  });
}
