/** Bundles the three programs for shipping: dist/controlplane.mjs, dist/agent.mjs, dist/tsctl.mjs. */
import { existsSync } from "node:fs";
import { build } from "esbuild";

const programs = { controlplane: "controlplane/src/main.ts", agent: "agent/src/main.ts", tsctl: "tsctl/src/main.ts" };

// Bundled CommonJS packages call require(); an ES module has none unless it makes one.
const banner =
  'import { createRequire as tesseraCreateRequire } from "node:module"; const require = tesseraCreateRequire(import.meta.url);';

await build({
  entryPoints: Object.fromEntries(Object.entries(programs).filter(([, entry]) => existsSync(entry))),
  outdir: "dist",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node24",
  // koffi finds its native part beside its own files.
  external: ["koffi"],
  banner: { js: banner },
  sourcemap: "linked",
  logLevel: "warning",
});
