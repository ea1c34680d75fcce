import { TesseraError, VERSION } from "@tessera/proto";
import { Command } from "commander";
import { destination, pino } from "pino";
import { cleanNode } from "./clean.ts";
import { joinCluster } from "./credentials/join.ts";
import { CredentialsFolder } from "./credentials/node-credentials.ts";
import { printInventory } from "./inventory.ts";
import { serve } from "./serve.ts";
import {
  CLEAN_OPTIONS,
  type CleanSettings,
  INVENTORY_OPTIONS,
  type InventorySettings,
  JOIN_OPTIONS,
  type JoinCommandSettings,
  SERVE_OPTIONS,
  type ServeSettings,
} from "./settings.ts";
import { stopPods } from "./stop-pods.ts";

const program = new Command("agent").description("Tessera's node agent").version(VERSION);

const serveCommand = program.command("serve").description("look after this node's pods until stopped; stopping leaves them running");
for (const option of SERVE_OPTIONS) serveCommand.addOption(option);
serveCommand.action((settings: ServeSettings) => serve(settings));

const joinCommand = program
  .command("join")
  .description("make this machine a node of a cluster; 'tsctl join-token create' prints the flags. Harmless where it has joined already");
for (const option of JOIN_OPTIONS) joinCommand.addOption(option);
joinCommand.action(async (settings: JoinCommandSettings) => {
  const log = pino({ level: settings.logLevel, base: undefined }, destination({ fd: 2, sync: true }));
  const hasJoined = await joinCluster(settings, log);
  const controlPlane = await new CredentialsFolder(settings.credentials).controlPlane();
  const what = hasJoined ? "has joined" : "had joined before";
  process.stdout.write(
    `node "${settings.nodeName}" ${what}: its credentials are in ${settings.credentials}, its control plane is at ${controlPlane}\n`,
  );
});

const inventoryCommand = program
  .command("inventory")
  .description("print as JSON whatever of pods the kernel and the disk hold; needs no running agent");
for (const option of INVENTORY_OPTIONS) inventoryCommand.addOption(option);
inventoryCommand.action((settings: InventorySettings) => printInventory(settings, process.stdout));

const stopPodsCommand = program
  .command("stop-pods")
  .description(
    "end the containers of all pods of this node, each pod within its own grace; the next agent starts them again; no agent may run",
  );
for (const option of INVENTORY_OPTIONS) stopPodsCommand.addOption(option);
stopPodsCommand.action((settings: InventorySettings) => stopPods(settings));

const cleanCommand = program
  .command("clean")
  .description("end all pods of this node and remove everything of them and of the agent, data included; no agent may run");
for (const option of CLEAN_OPTIONS) cleanCommand.addOption(option);
cleanCommand.action((settings: CleanSettings) => cleanNode(settings));

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`agent: ${error instanceof TesseraError ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}
