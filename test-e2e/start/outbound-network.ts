import { randomBytes, randomInt } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { run, runOk } from "../harness/run.ts";

const forwarding = "/proc/sys/net/ipv4/ip_forward";

/** A network namespace whose one way out is this machine's, with this machine's address. */
export class OutboundNetwork implements AsyncDisposable {
  readonly #name = `fresh-${randomBytes(3).toString("hex")}`;

  /** Handle of the namespace, for nsenter. */
  get handle(): string {
    return `/run/netns/${this.#name}`;
  }

  static async make(): Promise<OutboundNetwork> {
    const network = new OutboundNetwork();
    try {
      await network.#make();
      return network;
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #make(): Promise<void> {
    const name = this.#name;
    const routes = await runOk("ip", ["-4", "route", "show", "table", "all"]);
    let prefix: string;
    do prefix = `10.${randomInt(200, 250)}.${randomInt(256)}`;
    while (routes.includes(`${prefix}.`));
    await runOk("ip", ["netns", "add", name]);
    await runOk("ip", ["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name]);
    await runOk("ip", ["address", "add", `${prefix}.1/24`, "dev", name]);
    await runOk("ip", ["link", "set", name, "up"]);
    const inside = [`address add ${prefix}.2/24 dev eth0`, "link set eth0 up", "link set lo up", `route add default via ${prefix}.1`];
    await runOk("ip", ["-netns", name, "-batch", "-"], { input: `${inside.join("\n")}\n` });
    // Left on: others here may have come to need it.
    if ((await readFile(forwarding, "utf8")).trim() !== "1") await writeFile(forwarding, "1");
    const rules = `table ip ${name} { chain out { type nat hook postrouting priority srcnat; ip saddr ${prefix}.0/24 masquerade; }; }`;
    await runOk("nft", ["-f", "-"], { input: rules });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run("nft", ["delete", "table", "ip", this.#name]);
    await run("ip", ["link", "delete", this.#name]);
    await run("ip", ["netns", "delete", this.#name]);
  }
}
