import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";
import { packInitramfs } from "./initramfs.ts";
import { type GuestKernel, modulesInOrder } from "./kernel.ts";

const repository = resolve(import.meta.dirname, "../..");

/** Drivers of the machine's disk, and what pods and their network take. */
const modules = [
  ...["virtio_ring", "virtio_mmio", "virtio_blk", "overlay", "bfq"],
  ...["veth", "bridge", "vxlan", "dummy"],
  ...["nf_tables", "nft_chain_nat", "nft_masq", "nft_nat", "nft_ct", "nft_fib_ipv4", "nft_meta_bridge", "nft_reject_inet"],
  // Else what host ports were taken for before stays remembered.
  "nf_conntrack_netlink",
];

/** What tests and agent call by name and expect Debian's words of; busybox has the rest. */
const programs = ["cat", "sync", "flock", "unshare", "nsenter", "setpriv", "mount", "umount", "ip", "bridge", "nft", "ps", "socat"];

/** What a cluster takes besides. */
const clusterPrograms = ["etcd", "nats-server", "kubectl"];

export interface GuestImage {
  readonly initramfs: string;
  readonly disk: string;
  /** What the guest writes on its console, as it comes; for who wants to watch. */
  readonly console: string;
}

/**
 * Makes the guest's disk and initramfs below `folder`, from what this machine and the repository have. The guest runs the test files, paths
 * from the repository's root, in the order given.
 */
export async function makeGuestImage(folder: string, kernel: GuestKernel, tests: readonly string[]): Promise<GuestImage> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const image = { initramfs: join(folder, "initramfs"), disk: join(folder, "disk.ext4"), console: join(folder, "console.log") };
  writeInitramfs(folder, image.initramfs, kernel);
  const root = join(folder, "root");
  makeSystem(root);
  await addRepository(root, tests);
  execFileSync("mke2fs", ["-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", root, image.disk, "1G"]);
  rmSync(root, { recursive: true });
  return image;
}

function writeInitramfs(folder: string, file: string, kernel: GuestKernel): void {
  const init = join(folder, "init");
  const warnings = ["-Wall", "-Wextra", "-Werror"];
  execFileSync("musl-gcc", ["-static", "-Os", "-s", "-D_GNU_SOURCE", ...warnings, "-o", init, join(import.meta.dirname, "guest/init.c")]);
  const paths = modulesInOrder(kernel, modules);
  const archive = packInitramfs([
    { path: "dev" },
    { path: "modules" },
    { path: "init", content: readFileSync(init) },
    { path: "modules.list", content: Buffer.from(paths.map((path) => `/modules/${basename(path)}\n`).join("")) },
    ...paths.map((path) => ({ path: `modules/${basename(path)}`, content: readFileSync(path) })),
  ]);
  writeFileSync(file, archive);
}

/** A root file system without an init system: busybox, a few programs of this machine, and their libraries. */
function makeSystem(root: string): void {
  for (const name of ["bin", "etc", "proc", "sys", "dev", "run", "root", "var/lib", "guest", "tessera", "usr"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  mkdirSync(join(root, "tmp"), { mode: 0o1777 });
  for (const name of ["bin", "sbin"]) symlinkSync("../bin", join(root, "usr", name));
  symlinkSync("bin", join(root, "sbin"));
  for (const name of [...programs, ...clusterPrograms]) addProgram(root, which(name));
  // Busybox's own shell would not call the programs above but what it has by their names.
  addProgram(root, which("dash"), "sh");
  addProgram(root, process.execPath, "node");
  addProgram(root, which("busybox"));
  for (const name of execFileSync("busybox", ["--list"], { encoding: "utf8" }).trim().split("\n")) {
    if (!existsSync(join(root, "bin", name))) symlinkSync("busybox", join(root, "bin", name));
  }
  // Tests build their probes and the C library's units where they are not built yet; here they are.
  writeFileSync(join(root, "bin/make"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\nnogroup:x:65534:\n");
  writeFileSync(join(root, "etc/hosts"), "127.0.0.1 localhost\n10.9.9.1 guest\n");
  writeFileSync(join(root, "etc/resolv.conf"), "");
}

function which(name: string): string {
  return execFileSync("sh", ["-c", `command -v "$1"`, "sh", name], {
    encoding: "utf8",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  }).trim();
}

function addProgram(root: string, path: string, name = basename(path)): void {
  copyFileSync(realpathSync(path), join(root, "bin", name));
  addLibraries(root, path);
}

/** What the dynamic linker would load for it, at the same paths. */
function addLibraries(root: string, path: string): void {
  const listed = execFileSync("sh", ["-c", `ldd "$1" 2>&1 || true`, "sh", path], { encoding: "utf8" });
  for (const [, library = ""] of listed.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)) {
    const target = join(root, library);
    if (existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(realpathSync(library), target);
  }
}

/** A module in a bundle knows itself by the place that it had before: what it names relative to that lies there in the guest as well. */
const ownPlaces: Plugin = {
  name: "own places",
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const filename = join("/tessera", relative(repository, path)).replace(/\.ts$/, ".mjs");
      const places: Readonly<Record<string, string>> = { filename, dirname: dirname(filename), url: pathToFileURL(filename).href };
      const text = await readFile(path, "utf8");
      return {
        loader: "ts",
        contents: text.replace(/\bimport\.meta\.(filename|dirname|url)\b/g, (_, name) => JSON.stringify(places[name])),
      };
    });
  },
};

/** The built programs, and the tests as bundles at their own places: without type stripping and loading of many files, which is slow there. */
async function addRepository(root: string, tests: readonly string[]): Promise<void> {
  const copy = (path: string) => cpSync(join(repository, path), join(root, "tessera", path), { recursive: true });
  for (const path of ["libtessera.so", "tessera-shim", "tessera-host", "busybox.tar", "etcd3-proto"]) copy(`dist/${path}`);
  for (const path of ["dist/agent.mjs", "dist/controlplane.mjs", "dist/tsctl.mjs", "tsctl/bin/tsctl"]) copy(path);
  mkdirSync(join(root, "tessera/node_modules/node/bin"), { recursive: true });
  symlinkSync("/bin/node", join(root, "tessera/node_modules/node/bin/node"));
  execFileSync("make", ["-s", "-j2", "-C", join(repository, "runtime-native"), "probes", "units"], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  for (const path of ["build/probe", "build/test", "src/test", "package.json"]) copy(`runtime-native/${path}`);
  for (const path of globSync("node_modules/{koffi,@koromix/koffi-linux-x64}", { cwd: repository })) copy(path);
  for (const unit of globSync("runtime-native/build/test/*", { cwd: repository })) addLibraries(root, join(repository, unit));
  addLibraries(root, join(repository, "dist/libtessera.so"));
  // The numbers of system calls.
  cpSync("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", join(root, "usr/include/x86_64-linux-gnu/asm/unistd_64.h"));
  await build({
    absWorkingDir: repository,
    entryPoints: [...tests, ...globSync("runtime-native/ts/testing/*.ts", { cwd: repository })],
    outbase: ".",
    outdir: join(root, "tessera"),
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    external: ["koffi"],
    plugins: [ownPlaces],
    // Bundled CommonJS packages call require(); an ES module has none unless it makes one.
    banner: { js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);' },
    logLevel: "error",
  });
  await build({
    entryPoints: [join(import.meta.dirname, "guest/run.ts")],
    outfile: join(root, "guest/run.mjs"),
    logLevel: "error",
  });
  cpSync(join(import.meta.dirname, "guest/start"), join(root, "guest/start"));
  writeFileSync(join(root, "guest/tests"), tests.map((file) => file.replace(/\.ts$/, ".mjs")).join("\n"));
}
