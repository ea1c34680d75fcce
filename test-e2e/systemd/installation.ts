import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeRelease } from "../../deploy/release/make-release.ts";
import { kubectlOk, tsctlOk, until } from "../harness/cluster.ts";
import { Companion } from "../harness/companion.ts";
import { debianRoot } from "../harness/debian-root.ts";
import { runOk } from "../harness/run.ts";
import { Machine } from "./machine.ts";
import { MachineNetwork } from "./machine-network.ts";

/** What a machine needs to be one, and what the release expects of Debian. */
const packages = ["systemd", "systemd-sysv", "dbus", "nftables", "iproute2", "kmod", "procps"];

export const versions = { first: "0.0.1-e2e.1", second: "0.0.1-e2e.2" } as const;

/** Where the machines see the unpacked releases. */
export const releaseFolder = (version: string): string => `/media/${version}`;

/** A machine for a control plane and two for agents, and two releases to install on them. */
export class Installation implements AsyncDisposable {
  readonly folder: string;
  readonly controlPlane: Machine;
  readonly nodes: readonly Machine[];
  readonly #network: MachineNetwork;

  private constructor(folder: string, network: MachineNetwork, machines: readonly Machine[]) {
    const [controlPlane, ...nodes] = machines;
    if (controlPlane === undefined) throw new Error("there is no machine for the control plane");
    this.folder = folder;
    this.#network = network;
    this.controlPlane = controlPlane;
    this.nodes = nodes;
  }

  /** Makes releases, disks and network, and starts the machines. Nothing is installed yet. */
  static async make(): Promise<Installation> {
    // On a disk: machines have the data of their pods there.
    const folder = await mkdtemp("/var/tmp/tessera-machines-");
    const network = await MachineNetwork.make();
    const [baseRoot] = await Promise.all([debianRoot(packages), makeReleases(folder)]);
    const shared = Object.fromEntries(Object.values(versions).map((version) => [releaseFolder(version), join(folder, version)]));
    const machines = ["control", "node-a", "node-b"].map(
      (name, index) =>
        new Machine({
          name: `${name}-${folder.slice(-6).toLowerCase()}`,
          bridge: network.bridge,
          address: network.address(index + 2),
          baseRoot,
          folder: join(folder, name),
          shared,
        }),
    );
    const installation = new Installation(folder, network, machines);
    try {
      await Promise.all(machines.map((machine) => machine.start()));
      return installation;
    } catch (error) {
      await installation[Symbol.asyncDispose]();
      throw error;
    }
  }

  get machines(): readonly Machine[] {
    return [this.controlPlane, ...this.nodes];
  }

  get #environment(): Record<string, string> {
    return { KUBECONFIG: join(this.controlPlane.options.folder, "var-lib/tessera-controlplane/admin.kubeconfig") };
  }

  async kubectl(...args: string[]): Promise<string> {
    return await kubectlOk(args, { env: this.#environment });
  }

  /** A kubectl that runs beside the test. */
  companion(...args: string[]): Companion {
    return new Companion("kubectl", args, this.#environment);
  }

  /** With that on its standard input. */
  async kubectlWith(input: string, ...args: string[]): Promise<string> {
    return await kubectlOk(args, { env: this.#environment, input });
  }

  async tsctl(...args: string[]): Promise<string> {
    return await tsctlOk(args, { env: this.#environment });
  }

  /** Waits until the API answers and has all nodes as ready. */
  async awaitNodes(): Promise<void> {
    await until(
      "ready nodes",
      async () => {
        const states = await this.kubectl("get", "nodes", "-o", 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}');
        return states.split(" ").filter((state) => state === "True").length === this.nodes.length ? true : undefined;
      },
      60_000,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ends = await Promise.allSettled(this.machines.map((machine) => machine[Symbol.asyncDispose]()));
    await this.#network[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }
}

/** Makes both releases and unpacks them as a user does. Their compression is not what is tested. */
async function makeReleases(folder: string): Promise<void> {
  for (const version of Object.values(versions)) {
    const archive = await makeRelease({ version, out: join(folder, "releases"), level: 1 });
    await runOk("sh", ["-c", `cd "$(dirname "$1")" && sha256sum --quiet --check "$1.sha256"`, "sh", archive]);
    await mkdir(join(folder, version));
    await runOk("tar", ["-xzf", archive, "--strip-components=1", "-C", join(folder, version)]);
  }
}
