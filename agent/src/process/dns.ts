import { type Pod, TesseraError } from "@tessera/proto";

/** What the resolver's file says. */
interface ResolverConfig {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** Reads a resolv.conf, leaving out servers that only the node itself can reach. */
export function parseResolvConf(text: string): ResolverConfig {
  const nameservers: string[] = [];
  let searches: string[] = [];
  const options: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === "nameserver" && values[0] !== undefined && !isLoopback(values[0])) nameservers.push(values[0]);
    else if (keyword === "search" || keyword === "domain") searches = values;
    else if (keyword === "options") options.push(...values);
  }
  return { nameservers, searches, options };
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

/** The pod's /etc/resolv.conf: the node's, unless dnsPolicy is None, with dnsConfig added. */
export function podResolvConf(pod: Pod, nodeResolvConf: string): string {
  const { dnsPolicy, dnsConfig, hostNetwork } = pod.spec ?? {};
  if (hostNetwork && dnsPolicy !== "None" && dnsConfig === undefined) return nodeResolvConf;
  const base = dnsPolicy === "None" ? { nameservers: [], searches: [], options: [] } : parseResolvConf(nodeResolvConf);
  const ownOptions = (dnsConfig?.options ?? []).map(({ name, value }) => (value === undefined ? (name ?? "") : `${name ?? ""}:${value}`));
  const replaced = new Set(ownOptions.map(optionName));
  const searches = [...new Set([...base.searches, ...(dnsConfig?.searches ?? [])])];
  const options = [...base.options.filter((option) => !replaced.has(optionName(option))), ...ownOptions];
  const lines = [...new Set([...base.nameservers, ...(dnsConfig?.nameservers ?? [])])].map((address) => `nameserver ${address}`);
  if (searches.length > 0) lines.push(`search ${searches.join(" ")}`);
  if (options.length > 0) lines.push(`options ${options.join(" ")}`);
  for (const line of lines) checkLine("dnsConfig", line);
  return lines.map((line) => `${line}\n`).join("");
}

function optionName(option: string): string {
  return option.split(":", 1)[0] ?? option;
}

export interface HostsInputs {
  readonly addresses: readonly string[];
  /** The node's own file, for pods in the node's network. */
  readonly nodeHosts: string;
}

/** The pod's /etc/hosts. */
export function podHosts(pod: Pod, { addresses, nodeHosts }: HostsInputs): string {
  const { hostNetwork, hostAliases } = pod.spec ?? {};
  const own = hostNetwork
    ? nodeHosts.replace(/\n*$/, "\n")
    : [
        "# Made by Tessera for this pod; changes last as long as the pod does.\n",
        "127.0.0.1\tlocalhost\n",
        "::1\tlocalhost ip6-localhost ip6-loopback\n",
        "fe00::0\tip6-localnet\n",
        "fe00::0\tip6-mcastprefix\n",
        "fe00::1\tip6-allnodes\n",
        "fe00::2\tip6-allrouters\n",
        ...addresses.map((address) => `${[address, ...podNames(pod)].join("\t")}\n`),
      ].join("");
  const aliases = (hostAliases ?? []).map((alias) => `${alias.ip ?? ""}\t${(alias.hostnames ?? []).join("\t")}`);
  for (const alias of aliases) checkLine("hostAliases", alias);
  return own + aliases.map((alias) => `${alias}\n`).join("");
}

/** What comes from the pod must not add lines of its own. */
function checkLine(field: string, line: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(line)) throw new TesseraError("Invalid", `${field}: control characters are not allowed`);
}

const CLUSTER_DOMAIN = "cluster.local";
/** Of a DNS label. */
const LONGEST_LABEL = 63;
/** Of the kernel. */
const LONGEST_HOSTNAME = 64;

/** By which names the pod knows itself, the longest first. */
function podNames({ metadata, spec = {} }: Pod): [string, ...string[]] {
  if (spec.hostnameOverride) return [spec.hostnameOverride];
  const name = (spec.hostname || metadata?.name || "").slice(0, LONGEST_LABEL).replace(/[-.]+$/, "");
  return spec.subdomain ? [`${name}.${spec.subdomain}.${metadata?.namespace ?? ""}.svc.${CLUSTER_DOMAIN}`, name] : [name];
}

/** The name that the pod's processes see. Throws TesseraError "Invalid" for a full name that is too long for the kernel. */
export function podHostname(pod: Pod, nodeHostname: string): string {
  if (pod.spec?.hostNetwork) return nodeHostname;
  const [full, short = full] = podNames(pod);
  const name = pod.spec?.setHostnameAsFQDN ? full : short;
  if (name.length <= LONGEST_HOSTNAME) return name;
  throw new TesseraError(
    "Invalid",
    `the pod's hostname "${name}" is ${name.length} characters long; at most ${LONGEST_HOSTNAME} are possible`,
  );
}
