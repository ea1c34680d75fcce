/** npm run release [-- --version VERSION] [-- --out FOLDER]: makes the archive that deploy/install.sh installs from. */
import { parseArgs } from "node:util";
import { packageVersion } from "./contents.ts";
import { makeRelease } from "./make-release.ts";

try {
  const { values } = parseArgs({ options: { version: { type: "string" }, out: { type: "string" } } });
  const path = await makeRelease({ version: values.version ?? packageVersion(), out: values.out ?? "dist/release" });
  process.stdout.write(`${path}\n`);
} catch (error) {
  process.stderr.write(`release: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
