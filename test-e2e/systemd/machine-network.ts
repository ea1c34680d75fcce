import { randomBytes, randomInt } from "node:crypto";
import { run, runOk } from "../harness/run.ts";

/** A bridge of this machine for the machines of one test, with addresses that nothing else here routes. */
export class MachineNetwork implements AsyncDisposable {
  readonly bridge: string;
  readonly #prefix: string;

  private constructor(bridge: string, prefix: string) {
    this.bridge = bridge;
    this.#prefix = prefix;
  }

  static async make(): Promise<MachineNetwork> {
    const routes = await runOk("ip", ["-4", "route", "show", "table", "all"]);
    let prefix: string;
    do prefix = `10.${randomInt(200, 250)}.${randomInt(256)}`;
    while (routes.includes(`${prefix}.`));
    const network = new MachineNetwork(`nspawn-${randomBytes(3).toString("hex")}`, prefix);
    await runOk("ip", ["link", "add", network.bridge, "type", "bridge"]);
    await runOk("ip", ["address", "add", network.address(1), "dev", network.bridge]);
    await runOk("ip", ["link", "set", network.bridge, "up"]);
    return network;
  }

  /** An address with its prefix length; 1 is the bridge's own. */
  address(number: number): string {
    return `${this.#prefix}.${number}/24`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { code, stderr } = await run("ip", ["link", "delete", this.bridge]);
    if (code !== 0 && !stderr.includes("Cannot find device")) throw new Error(stderr);
  }
}
