/** Bundles the three programs for shipping: dist/controlplane.mjs, dist/agent.mjs, dist/tsctl.mjs. */
import { cpSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { build, type Plugin } from "esbuild";

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

cpSync("node_modules/etcd3/proto", "dist/etcd3-proto", { recursive: true });
await build({
  entryPoints: programs,
  outdir: "dist",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node24",
  // koffi finds its native part beside its own files.
  external: ["koffi"],
  banner: { js: banner },
  plugins: [etcd3Definition],
  sourcemap: "linked",
  logLevel: "warning",
});
