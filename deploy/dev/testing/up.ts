/** `up` as a program of its own, for tests that kill it: up.ts HOME DIST KUBECONFIG NAME NODES. Prints each step when it begins. */
import { upCluster } from "../up.ts";

const [home = "", dist = "", kubeconfig = "", name = "", nodes = "1"] = process.argv.slice(2);
const say = (text: string) => process.stdout.write(`${text}\n`);
await upCluster(
  { name, nodes: Number(nodes), deadlineMs: 60_000 },
  { home, dist, node: process.execPath, kubeconfig },
  { step: say, note: say },
);
say("up");
