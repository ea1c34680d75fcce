import { TesseraError } from "@tessera/proto";
import { displayName } from "../api/discovery.ts";
import { type CommandContext, defineCommand, flag } from "../command.ts";
import { requestDeletion, waitUntilGone } from "../gone.ts";
import { parseDuration } from "../print/age.ts";
import { type Chosen, declareSelection, findChosen, parseSelection, type Selection, selectionFaults } from "../selection.ts";
import { forEachOf } from "../writing.ts";

interface DeleteOptions {
  readonly selection: Selection;
  readonly gracePeriodSeconds?: number;
  readonly force: boolean;
  readonly wait: boolean;
  readonly timeoutMs?: number;
  readonly ignoreNotFound: boolean;
  readonly nameOnly: boolean;
  readonly dryRun: string;
  /** What becomes of dependents; undefined: the server's default. */
  readonly cascade?: string;
}

const cascades = ["background", "foreground", "orphan"];

export const deleteCommand = defineCommand<DeleteOptions>({
  name: "delete",
  summary: "Delete objects, and wait until they are gone",
  examples: `# Ends the pod with its grace period
tsctl delete pod hello
# What a file made
tsctl delete -f examples/pod.yaml
# At once, without asking the containers
tsctl delete pod hello --force
# All that have failed
tsctl delete pods --field-selector status.phase=Failed`,
  declare: (command) =>
    declareSelection(command.argument("[type...]", "TYPE NAME..., TYPE/NAME..., or TYPE with -l or --all"))
      .option("--grace-period <seconds>", "time for the containers to end by themselves; -1: the pod's own")
      .option("--now", "a grace period of one second")
      .option("--force", "no grace period")
      .option("--no-wait", "return without waiting until they are gone")
      .option("--timeout <duration>", "how long to wait for each; 0: without an end", "0")
      .option("--ignore-not-found", "an object that does not exist is no error")
      .option("--cascade <policy>", "objects that these own go after them (background), before them (foreground), or stay (orphan)")
      .option("--dry-run <where>", 'change nothing: "client" shows what would be deleted, "server" asks the server')
      .option("-o, --output <format>", '"name": print the names only'),
  parse: (words, flags) => ({
    selection: parseSelection(words, flags, "delete"),
    gracePeriodSeconds: parseGrace(flags),
    force: flag.isSet(flags["force"]),
    wait: flags["wait"] !== false,
    timeoutMs: parseTimeout(flag.text(flags["timeout"]) ?? "0"),
    ignoreNotFound: flag.isSet(flags["ignoreNotFound"]),
    nameOnly: flags["output"] === "name",
    dryRun: flag.text(flags["dryRun"]) ?? "none",
    cascade: flag.text(flags["cascade"]),
  }),
  validate: ({ selection, gracePeriodSeconds, force, dryRun, cascade }) => [
    ...(cascade === undefined || cascades.includes(cascade) ? [] : [`--cascade=${cascade} is not known; it can be ${cascades.join(", ")}`]),
    ...selectionFaults(selection, "delete"),
    ...(force && gracePeriodSeconds !== undefined && gracePeriodSeconds > 0
      ? ["--force has no grace period; leave --grace-period out"]
      : []),
    ...(gracePeriodSeconds === 0 && !force ? ["a grace period of 0 kills at once: say --force as well"] : []),
    ...(["none", "client", "server"].includes(dryRun) ? [] : [`--dry-run=${dryRun} is not known; it can be "client", "server" or "none"`]),
  ],
  run: async (options, context) => {
    const cluster = await context.cluster();
    const chosen = await findChosen(options.selection, cluster, context);
    // What was made last goes first: a namespace after what is in it.
    const doomed = options.selection.words === undefined ? chosen.reverse() : chosen;
    if (doomed.length === 0 && !options.nameOnly) await context.out.write("No resources found\n");
    const marked: { doomed: Chosen; uid: string | undefined }[] = [];
    const code = await forEachOf(doomed, context, async (each) => {
      if (options.dryRun !== "client") {
        const uid = await mark(each, options, context);
        if (uid === "missing") return;
        marked.push({ doomed: each, uid });
      }
      await context.out.write(tell(each, options));
    });
    if (!options.wait || options.dryRun !== "none") return code;
    const waits = await Promise.all(
      marked.map(async (each) => await waitUntilGone(each.doomed, each.uid, options.timeoutMs, cluster, context)),
    );
    const faults = waits.filter((each) => each !== undefined);
    for (const fault of faults) await context.err.write(`error: ${fault}\n`);
    return faults.length > 0 ? 1 : code;
  },
});

/** Its uid, or "missing" when it is not there and need not be. */
async function mark(doomed: Chosen, options: DeleteOptions, context: CommandContext): Promise<string | undefined> {
  const { gracePeriodSeconds, dryRun, ignoreNotFound, cascade } = options;
  const propagation = cascade === undefined ? {} : { propagationPolicy: `${cascade.charAt(0).toUpperCase()}${cascade.slice(1)}` };
  const asked = { gracePeriodSeconds, ...propagation, ...(dryRun === "server" ? { dryRun: ["All"] } : {}) };
  try {
    return await requestDeletion(doomed, asked, await context.cluster(), context);
  } catch (error) {
    if (ignoreNotFound && error instanceof TesseraError && error.reason === "NotFound") return "missing";
    throw error;
  }
}

function parseGrace(flags: Readonly<Record<string, unknown>>): number | undefined {
  if (flag.isSet(flags["now"])) return 1;
  const text = flag.text(flags["gracePeriod"]);
  if (text === undefined) return flag.isSet(flags["force"]) ? 0 : undefined;
  if (!/^-?\d+$/.test(text)) throw new TesseraError("BadRequest", `--grace-period "${text}" is not a number of seconds`);
  return Number(text) < 0 ? undefined : Number(text);
}

function parseTimeout(text: string): number | undefined {
  const timeout = parseDuration(text);
  if (timeout === undefined) throw new TesseraError("BadRequest", `--timeout "${text}" is not a duration such as 30s or 5m`);
  return timeout === 0 ? undefined : timeout;
}

function tell({ resource, name }: Chosen, { nameOnly, force, dryRun }: DeleteOptions): string {
  if (nameOnly) return `${displayName(resource)}/${name}\n`;
  const how = { client: " (dry run)", server: " (server dry run)" }[dryRun] ?? "";
  return `${displayName(resource)} "${name}" ${force ? "force deleted" : "deleted"}${how}\n`;
}
