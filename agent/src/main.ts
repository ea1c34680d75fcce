import { TesseraError } from "@tessera/proto";
import { Command } from "commander";
import { printInventory } from "./inventory.ts";
import { serve } from "./serve.ts";
import { AGENT_VERSION } from "./session/node-status.ts";
import { INVENTORY_OPTIONS, type InventorySettings, SERVE_OPTIONS, type ServeSettings } from "./settings.ts";

const program = new Command("agent").description("Tessera's node agent").version(AGENT_VERSION);

const serveCommand = program.command("serve").description("look after this node's pods until stopped; stopping leaves them running");
for (const option of SERVE_OPTIONS) serveCommand.addOption(option);
serveCommand.action((settings: ServeSettings) => serve(settings));

const inventoryCommand = program
  .command("inventory")
  .description("print as JSON whatever of pods the kernel and the disk hold; needs no running agent");
for (const option of INVENTORY_OPTIONS) inventoryCommand.addOption(option);
inventoryCommand.action((settings: InventorySettings) => printInventory(settings, process.stdout));

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`agent: ${error instanceof TesseraError ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}
