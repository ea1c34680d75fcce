/** README's commands on a machine that has nothing but what README asks for, so that a missing step of the set-up cannot hide. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { copyFile, cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { debianRoot } from "../harness/debian-root.ts";
import { type Output, run, runOk } from "../harness/run.ts";
import { OutboundNetwork } from "./outbound-network.ts";

const repository = resolve(import.meta.dirname, "../..");

/** README: "with Node.js and npm installed", and git by its first command. Node.js and npm are this machine's own. */
const packages = ["git", "ca-certificates", "libstdc++6"];

/** A code block of README by the mark before it, as a reader would type it. */
function block(mark: string): string {
  const text = new RegExp(`<!-- ${mark} -->\\n\`\`\`sh\\n([\\s\\S]*?)\`\`\``).exec(
    readFileSync(join(repository, "README.md"), "utf8"),
  )?.[1];
  assert.ok(text, `README.md has a block marked "${mark}"`);
  return text.trim();
}

/** All but devices and cgroups is the fresh machine's own. */
const enter = `
  set -eu
  mount --bind "$1" "$1"
  cd "$1"
  mount --rbind /dev dev
  mount --make-rslave dev
  mount -t sysfs sysfs sys
  mount --rbind /sys/fs/cgroup sys/fs/cgroup
  mount --make-rslave sys/fs/cgroup
  mount -t proc proc proc
  mount -t tmpfs -o mode=755 tmpfs run
  hostname fresh
  shift
  # A root that is only chroot's is not that of the mount namespace, and whoever enters it would come out above.
  pivot_root . mnt
  cd /
  umount -l /mnt
  exec "$@"`;

class FreshMachine implements AsyncDisposable {
  readonly #root: string;
  readonly #network: OutboundNetwork;
  /** Its name is in that of cgroups, which development clusters of the machine around it have too. */
  readonly #devHome: string;

  private constructor(root: string, network: OutboundNetwork) {
    this.#root = root;
    this.#network = network;
    this.#devHome = `/var/lib/tessera-fresh-${root.slice(-6)}`;
  }

  static async make(): Promise<FreshMachine> {
    const base = await debianRoot(packages);
    // On a disk, for development clusters refuse an overlay.
    const root = await mkdtemp("/var/tmp/tessera-fresh-");
    const machine = new FreshMachine(root, await OutboundNetwork.make());
    try {
      await runOk("cp", ["-a", `${base}/.`, root]);
      await machine.#bringNodeJs();
      await machine.#bringSettings();
      await machine.#bringRepository();
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a script in the home folder. */
  async run(script: string, timeoutMs: number): Promise<Output> {
    const { NODE_EXTRA_CA_CERTS: ca } = process.env;
    const environment = ["HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", `TESSERA_DEV_HOME=${this.#devHome}`];
    if (ca !== undefined) environment.push(`NODE_EXTRA_CA_CERTS=${ca}`);
    const command = ["env", "-i", ...environment, "sh", "-euc", `cd; ${script}`];
    const namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc"];
    return await run(
      "nsenter",
      [`--net=${this.#network.handle}`, "unshare", ...namespaces, "sh", "-c", enter, "sh", this.#root, ...command],
      { timeoutMs },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What a failure left in this machine's network and cgroups.
    if (existsSync(join(this.#root, this.#devHome, "dev"))) await this.run("cd tessera && npx tsctl dev down", 60_000);
    await this.#network[Symbol.asyncDispose]();
    await rm(this.#root, { recursive: true, force: true });
  }

  async #bringNodeJs(): Promise<void> {
    const path = (process.env["PATH"] ?? "").split(":").filter((folder) => !folder.includes("node_modules"));
    const [node = "", npm = ""] = await Promise.all(
      ["node", "npm"].map(async (name) =>
        realpathSync((await runOk("sh", ["-c", `command -v ${name}`], { env: { PATH: path.join(":") } })).trim()),
      ),
    );
    const npmFolder = dirname(dirname(npm));
    await copyFile(node, join(this.#root, "usr/bin/node"));
    await mkdir(join(this.#root, "usr/lib/node_modules"), { recursive: true });
    await cp(npmFolder, join(this.#root, "usr/lib/node_modules/npm"), { recursive: true });
    for (const name of ["npm", "npx"])
      await runOk("ln", ["-s", `../lib/node_modules/npm/bin/${name}-cli.js`, join(this.#root, "usr/bin", name)]);
  }

  /** How this machine reaches its registries: names, certificates, npm's settings. */
  async #bringSettings(): Promise<void> {
    const files = ["/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt", "/etc/npmrc", "/root/.npmrc"];
    for (const file of files) if (existsSync(file)) await copyFile(realpathSync(file), join(this.#root, file));
  }

  /** The repository as it is here, with what is not committed yet of files that git knows. */
  async #bringRepository(): Promise<void> {
    const bare = join(this.#root, "srv/tessera.git");
    await runOk("git", ["init", "--quiet", "--bare", "--initial-branch=main", bare]);
    await runOk("git", ["-C", bare, "config", "receive.shallowUpdate", "true"]);
    // A file that was only touched counts as changed until git has looked at it again; "stash create" would then fail.
    await run("git", ["-C", repository, "update-index", "-q", "--refresh"]);
    const uncommitted = (await runOk("git", ["-C", repository, "stash", "create"])).trim();
    await runOk("git", ["-C", repository, "push", "--quiet", bare, `${uncommitted || "HEAD"}:refs/heads/main`]);
  }
}

test("README's commands take a bare Debian from nothing to a cluster with a pod, and away again", async () => {
  await using machine = await FreshMachine.make();
  const start = block("start").replace("<this repository>", "/srv/tessera.git");
  // README says that every command of the tour works with npx tsctl, word for word; a bare machine has no kubectl.
  const tour = block("tour").replaceAll(/^kubectl /gm, "npx tsctl ");
  const output = await machine.run(`${start}\nset -x\n${tour}`, 420_000);
  assert.equal(output.code, 0, `${output.stdout}\n${output.stderr}`);
  assert.match(output.stdout, /What to try next/);
  assert.match(output.stdout, /^hello +1\/1 +Running/m);
});
