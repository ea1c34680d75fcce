import { execFileSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";

/** Debian's kernel for virtual machines: small, cgroup v2 with all controllers, most drivers as modules. */
const metaPackage = "linux-image-cloud-amd64";

export interface GuestKernel {
  readonly image: string;
  /** Folder of the modules, with "kernel" in it. */
  readonly modules: string;
}

/**
 * The kernel's files, unpacked below `cache`. The package is fetched but not installed: installing it would give this machine another kernel
 * to boot.
 */
export function unpackKernel(cache: string): GuestKernel {
  const unpacked = join(cache, "kernel");
  if (!existsSync(unpacked)) {
    const fresh = `${unpacked}.new`;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    try {
      fetchPackage(fresh);
    } catch {
      // The package lists may be of a time when another version was current.
      execFileSync("apt-get", ["update", "-qq"], { stdio: ["ignore", "ignore", "inherit"] });
      fetchPackage(fresh);
    }
    const [archive = ""] = globSync("*.deb", { cwd: fresh });
    execFileSync("dpkg-deb", ["--extract", join(fresh, archive), fresh]);
    rmSync(join(fresh, archive));
    renameSync(fresh, unpacked);
  }
  const [image] = globSync("boot/vmlinuz-*", { cwd: unpacked });
  const [modules] = globSync("lib/modules/*", { cwd: unpacked });
  if (image === undefined || modules === undefined) throw new Error(`${unpacked} holds no kernel; remove it, so that it is fetched anew`);
  return { image: join(unpacked, image), modules: join(unpacked, modules) };
}

function fetchPackage(folder: string): void {
  const depends = execFileSync("apt-cache", ["depends", metaPackage], { encoding: "utf8" });
  const [, name] = /Depends: (linux-image-\S+)/.exec(depends) ?? [];
  if (name === undefined) throw new Error(`apt-cache knows no kernel behind ${metaPackage}`);
  execFileSync("apt-get", ["download", "-qq", "-o", "APT::Sandbox::User=root", name], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
}

/** The files of the named modules and of all that they need, each after what it needs itself. */
export function modulesInOrder(kernel: GuestKernel, wanted: readonly string[]): string[] {
  const plain = (name: string) => name.replaceAll("-", "_");
  const files = new Map(globSync("kernel/**/*.ko", { cwd: kernel.modules }).map((file) => [plain(basename(file, ".ko")), file]));
  const builtIn = new Set(
    readFileSync(join(kernel.modules, "modules.builtin"), "utf8")
      .split("\n")
      .map((file) => plain(basename(file, ".ko"))),
  );
  const ordered = new Set<string>();
  const add = (name: string): void => {
    if (builtIn.has(name)) return;
    const file = files.get(name);
    if (file === undefined) throw new Error(`the kernel in ${kernel.modules} has no module ${name}`);
    const path = join(kernel.modules, file);
    if (ordered.has(path)) return;
    // modinfo is a section of NUL-ended "key=value" texts.
    const [, needs = ""] = /\0depends=([^\0]*)\0/.exec(readFileSync(path, "latin1")) ?? [];
    for (const need of needs.split(",").filter((one) => one !== "")) add(plain(need));
    ordered.add(path);
  };
  for (const name of wanted) add(name);
  return [...ordered];
}
