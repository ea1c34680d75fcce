/** The same benchmarks of two revisions, in turn, so that both share what else the machine does. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { removeStaleClusters } from "./dev-cluster.ts";
import { type Figure, median } from "./figure.ts";
import { CpuMeter } from "./process-usage.ts";
import { type RevisionTree, resolveRevision, withRevision } from "./revision.ts";
import { told, withUndo } from "./undo.ts";

/** One figure of this revision beside that of another. */
export interface Comparison {
  readonly figure: string;
  readonly unit: string;
  /** The median of each round, in order. */
  readonly here: readonly number[];
  readonly there: readonly number[];
  /** Here to there: the median of the rounds' ratios, and the least and greatest of them. */
  readonly ratio: number;
  readonly ratios: readonly [number, number];
}

export type Medians = ReadonlyMap<string, { readonly unit: string; readonly median: number }>;

/** Runs each benchmark `rounds` times of this tree and of the revision, the two alternating, and prints what both have. */
export async function compare(
  revision: string,
  names: readonly string[],
  rounds: number,
  print: (comparison: Comparison) => void,
): Promise<void> {
  const here = { mains: [resolve(import.meta.dirname, "main.ts")] };
  await withRevision(await resolveRevision(revision), async (there) => {
    for (const name of names) {
      const results = { here: [] as Medians[], there: [] as Medians[] };
      for (let round = 0; round < rounds; round++) {
        for (const which of turns(round)) results[which].push(await runBenchmark(which === "here" ? here : there, name));
      }
      const comparisons = juxtapose(results.here, results.there);
      for (const comparison of comparisons) print(comparison);
      const alone = figuresAlone([...results.here, ...results.there], comparisons);
      if (alone.length > 0) console.error(`bench: not compared, for not every run has them: ${alone.join("; ")}`);
    }
  });
}

/** Who comes first in a round: not always the same one, which might find a calmer machine, or a colder one. */
export function turns(round: number): readonly ("here" | "there")[] {
  return round % 2 === 0 ? ["here", "there"] : ["there", "here"];
}

/** Figures that every round of both has, in the order of the first. */
export function juxtapose(here: readonly Medians[], there: readonly Medians[]): Comparison[] {
  const [first] = here;
  return [...(first ?? [])].flatMap(([figure, { unit }]) => {
    const of = (rounds: readonly Medians[]) => rounds.flatMap((round) => round.get(figure)?.median ?? []);
    const [ours, theirs] = [of(here), of(there)];
    if (ours.length !== here.length || theirs.length !== there.length) return [];
    const ratios = ours.map((value, round) => value / (theirs[round] ?? Number.NaN)).sort((a, b) => a - b);
    const range: [number, number] = [median(ratios.slice(0, 1)), median(ratios.slice(-1))];
    return [{ figure, unit, here: ours, there: theirs, ratio: median(ratios), ratios: range }];
  });
}

/** Figures of any run that were not compared. */
export function figuresAlone(runs: readonly Medians[], comparisons: readonly Comparison[]): string[] {
  const compared = new Set(comparisons.map(({ figure }) => figure));
  return [...new Set(runs.flatMap((run) => [...run.keys()]))].filter((figure) => !compared.has(figure));
}

/** Throws when none of the tree's programs has this benchmark, or can run it. */
export async function runBenchmark({ mains }: RevisionTree, name: string): Promise<Medians> {
  for (const [index, main] of mains.entries()) {
    // One that was told to end has not failed.
    told.throwIfAborted();
    const medians = await runProgramOf(main, name);
    if (medians !== undefined) return medians;
    if (index < mains.length - 1)
      console.error(`bench: ${name} of this revision does not run on the other's code; trying ${mains[index + 1]}`);
  }
  throw new Error(`the benchmark ${name} fails: ${mains.join(" and ")}`);
}

/** Undefined when the program fails. */
async function runProgramOf(main: string, name: string): Promise<Medians | undefined> {
  const child = spawn(process.execPath, [main, name], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const end = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  const medians = new Map<string, { unit: string; median: number }>();
  return await withUndo(end, async () => {
    for await (const line of createInterface(child.stdout)) {
      const { figure, unit, median } = JSON.parse(line) as Figure;
      // The same figure may come again, beside another baseline.
      if (!medians.has(figure)) medians.set(figure, { unit, median });
    }
    const [code] = await ended;
    if (code === 0) return medians;
    await removeStaleClusters();
    await CpuMeter.removeStale();
    return undefined;
  });
}
