/** Bundles the three programs for shipping: controlplane.mjs, agent.mjs, tsctl.mjs. */
import { cpSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";

const programs = { controlplane: "controlplane/src/main.ts", agent: "agent/src/main.ts", tsctl: "tsctl/src/main.ts" };

// Bundled CommonJS packages call require(); an ES module has none unless it makes one.
const banner = [
  'import { createRequire as tesseraCreateRequire } from "node:module";',
  "const require = tesseraCreateRequire(import.meta.url);",
  "const tesseraBundleFolder = import.meta.dirname;",
].join("\n");

/** etcd3 reads its protocol definition from a file beside its own code; in a bundle it stands beside the bundle. */
const etcd3Definition: Plugin = {
  name: "etcd3-definition",
  setup(builder) {
    builder.onLoad({ filter: /node_modules\/etcd3\/lib\/connection-pool\.js$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      const contents = source.replace(/`[^`]*\/\.\.\/proto\/rpc\.proto`/, '(tesseraBundleFolder + "/etcd3-proto/rpc.proto")');
      if (contents === source) throw new Error("etcd3 no longer loads ../proto/rpc.proto: bundle.ts has to follow");
      return { contents };
    });
  },
};

export interface BundleOptions {
  readonly outdir: string;
  /** What the programs call themselves; absent in development. */
  readonly version?: string;
  readonly sourcemap: boolean;
}

/** Returns what went into the bundles. To be run in the repository's root. */
export async function bundlePrograms({ outdir, version, sourcemap }: BundleOptions): Promise<Metafile> {
  cpSync("node_modules/etcd3/proto", join(outdir, "etcd3-proto"), { recursive: true });
  const { metafile } = await build({
    entryPoints: programs,
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    // koffi finds its native part beside its own files.
    external: ["koffi"],
    banner: { js: banner },
    // A program holds its own source text for as long as it runs. Names stay, and lines stay short: a stack trace names function and place.
    minifyWhitespace: true,
    lineLimit: 120,
    plugins: [etcd3Definition],
    ...(version === undefined ? {} : { define: { TESSERA_VERSION: JSON.stringify(version) } }),
    sourcemap: sourcemap && "linked",
    metafile: true,
    logLevel: "warning",
  });
  return metafile;
}

if (import.meta.main) await bundlePrograms({ outdir: "dist", sourcemap: true });
