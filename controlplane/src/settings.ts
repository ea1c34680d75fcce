import { isIP } from "node:net";
import { Command, InvalidArgumentError, Option } from "commander";
import { parseHostPort } from "./api/https-server.ts";

/** Files and addresses of an etcd cluster that is not ours. */
export interface EtcdSettings {
  readonly endpoints: readonly string[];
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

export interface ServeSettings {
  /** Certificates, tokens, kubeconfig, and the data of the embedded etcd and NATS. */
  readonly dataDir: string;
  /** HOST:PORT of the HTTPS API; the first goes into the kubeconfig. */
  readonly listen: readonly string[];
  /** HOST:PORT of the node protocol. */
  readonly nodeListen: readonly string[];
  /** Further names and addresses that clients and agents dial. */
  readonly advertise: readonly string[];
  /** Addresses of all pods. */
  readonly clusterCidr: string;
  /** Prefix length of each node's share. */
  readonly nodeCidrBits: number;
  /** Absent: an etcd of our own. */
  readonly etcd?: EtcdSettings;
  /** Absent: a nats-server of our own. */
  readonly natsUrl?: string;
  /** How long the control plane's own certificates are valid. */
  readonly certificateLifetimeMs: number;
  /** How long those of nodes are. */
  readonly nodeCertificateLifetimeMs: number;
  readonly logLevel: string;
}

export interface NodeCredentialsSettings {
  readonly dataDir: string;
  readonly name: string;
  readonly out: string;
}

export interface RotateEncryptionKeySettings {
  readonly dataDir: string;
  /** "add" a key, "prune" those that nothing needs any more, or "discard" the Secrets that no key opens. */
  readonly action: "add" | "prune" | "discard";
  /** Absent: the embedded etcd of the running control plane. */
  readonly etcd?: EtcdSettings;
}

export interface Commands {
  serve(settings: ServeSettings): Promise<void>;
  nodeCredentials(settings: NodeCredentialsSettings): Promise<void>;
  rotateEncryptionKey(settings: RotateEncryptionKeySettings): Promise<void>;
}

const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

/** The program's commands and flags: names, defaults and checks in one place. */
export function createProgram(commands: Commands): Command {
  const program = new Command("controlplane").description("Tessera's control plane").showSuggestionAfterError();
  withEtcdOptions(program.command("serve"))
    .description("serves the Kubernetes API and the nodes")
    .requiredOption("--data-dir <dir>", "folder of certificates, tokens and embedded servers")
    .option("--listen <host:port>", "address of the HTTPS API (repeatable; port 0 takes a free one)", collect(address), [])
    .option("--node-listen <host:port>", "address of the node protocol (repeatable)", collect(address), [])
    .option("--advertise <host>", "further name or address in the server's certificate (repeatable)", collect(text), [])
    .option("--cluster-cidr <cidr>", "addresses of all pods", cidr, "10.64.0.0/16")
    .option("--node-cidr-bits <bits>", "prefix length of each node's share of them", bits, 24)
    .option("--nats-url <url>", "use this NATS instead of an embedded one")
    .addOption(lifetimeOption("--certificate-lifetime", "how long its own certificates are valid; they are renewed while it runs", "365d"))
    .addOption(lifetimeOption("--node-certificate-lifetime", "how long the certificates of nodes are valid; agents renew them", "365d"))
    .addOption(new Option("--log-level <level>", "least severe log lines to write").choices(logLevels).default("info"))
    .action((flags: ServeFlags) => commands.serve(toServeSettings(flags)));
  program
    .command("node-credentials")
    .description("writes the certificate with which an agent joins")
    .requiredOption("--data-dir <dir>", "the control plane's data folder")
    .requiredOption("--name <node>", "name of the node", nodeName)
    .requiredOption("--out <dir>", "folder for ca.crt, node.crt and node.key")
    .action((flags: NodeCredentialsSettings) => commands.nodeCredentials(flags));
  withEtcdOptions(program.command("rotate-encryption-key"))
    .description("adds a new key for the Secrets in etcd, which a running control plane then rewrites under it")
    .requiredOption("--data-dir <dir>", "the control plane's data folder")
    .option("--prune", "add none, but drop the older keys; refused while a Secret needs one of them")
    .addOption(
      new Option("--discard-unreadable", "add none, but remove the Secrets that no key opens, after a loss of keys").conflicts("prune"),
    )
    .action(({ dataDir, prune, discardUnreadable, ...flags }: RotateFlags) => {
      const action = prune ? "prune" : discardUnreadable ? "discard" : "add";
      return commands.rotateEncryptionKey({ dataDir, action, ...toEtcdSettings(flags) });
    });
  return program;
}

function withEtcdOptions(command: Command): Command {
  return command
    .option("--etcd-endpoints <urls>", "use this etcd cluster (comma-separated) instead of an embedded one")
    .option("--etcd-ca <file>", "CA of that etcd")
    .option("--etcd-cert <file>", "client certificate for that etcd")
    .option("--etcd-key <file>", "its key");
}

function lifetimeOption(name: string, description: string, preset: string): Option {
  return new Option(`${name} <time>`, description).default(lifetime(preset), preset).argParser(lifetime);
}

interface EtcdFlags {
  readonly etcdEndpoints?: string;
  readonly etcdCa?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
}

interface ServeFlags extends Omit<ServeSettings, "etcd" | "certificateLifetimeMs" | "nodeCertificateLifetimeMs">, EtcdFlags {
  readonly certificateLifetime: number;
  readonly nodeCertificateLifetime: number;
}

interface RotateFlags extends EtcdFlags {
  readonly dataDir: string;
  readonly prune?: boolean;
  readonly discardUnreadable?: boolean;
}

function toEtcdSettings({ etcdEndpoints, etcdCa, etcdCert, etcdKey }: EtcdFlags): { etcd?: EtcdSettings } {
  if (etcdEndpoints === undefined) return {};
  return { etcd: { endpoints: etcdEndpoints.split(","), caFile: etcdCa, certFile: etcdCert, keyFile: etcdKey } };
}

function toServeSettings(given: ServeFlags): ServeSettings {
  const { etcdEndpoints, etcdCa, etcdCert, etcdKey, certificateLifetime, nodeCertificateLifetime, ...flags } = given;
  const settings = {
    ...flags,
    certificateLifetimeMs: certificateLifetime,
    nodeCertificateLifetimeMs: nodeCertificateLifetime,
    listen: flags.listen.length > 0 ? flags.listen : ["127.0.0.1:6443"],
    nodeListen: flags.nodeListen.length > 0 ? flags.nodeListen : ["127.0.0.1:6444"],
  };
  const clusterBits = Number(settings.clusterCidr.split("/")[1]);
  if (settings.nodeCidrBits <= clusterBits) {
    throw new InvalidArgumentError(`--node-cidr-bits ${settings.nodeCidrBits} must be greater than the ${clusterBits} of --cluster-cidr`);
  }
  return { ...settings, ...toEtcdSettings({ etcdEndpoints, etcdCa, etcdCert, etcdKey }) };
}

function collect(check: (value: string) => string): (value: string, previous: readonly string[]) => string[] {
  return (value, previous) => [...previous, check(value)];
}

function text(value: string): string {
  if (value === "") throw new InvalidArgumentError("must not be empty");
  return value;
}

function address(value: string): string {
  try {
    parseHostPort(value);
  } catch {
    throw new InvalidArgumentError("expected HOST:PORT");
  }
  return value;
}

function cidr(value: string): string {
  const [host = "", prefix = "", ...rest] = value.split("/");
  if (isIP(host) !== 4 || !/^\d{1,2}$/.test(prefix) || Number(prefix) > 30 || rest.length > 0) {
    throw new InvalidArgumentError("expected an IPv4 network such as 10.64.0.0/16");
  }
  return value;
}

/** "90d", "12h", "30m", "20s" in milliseconds. */
function lifetime(value: string): number {
  const [, count = "", unit = ""] = /^([1-9]\d{0,4})([dhms])$/.exec(value) ?? [];
  if (unit === "") throw new InvalidArgumentError("expected a time such as 90d, 12h, 30m or 20s");
  return Number(count) * { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 }[unit as "d" | "h" | "m" | "s"];
}

function bits(value: string): number {
  if (!/^\d{1,2}$/.test(value) || Number(value) < 1 || Number(value) > 30) throw new InvalidArgumentError("expected a number from 1 to 30");
  return Number(value);
}

function nodeName(value: string): string {
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(value) || value.length > 253) throw new InvalidArgumentError("expected a DNS name");
  return value;
}
