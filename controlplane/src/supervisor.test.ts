import assert from "node:assert/strict";
import test from "node:test";
import { pino } from "pino";
import { type Part, runParts } from "./supervisor.ts";

const log = pino({ level: "silent" });

/** A part that writes down what happens to it. */
function part(name: string, needs: string[], story: string[], options: { readyAfter?: Promise<void>; fails?: Promise<never> } = {}): Part {
  return {
    name,
    needs,
    async run(signal, ready) {
      story.push(`${name} starts`);
      await options.readyAfter;
      ready();
      const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      await Promise.race([aborted, options.fails ?? aborted]);
      story.push(`${name} stops`);
    },
  };
}

test("parts start after what they need is ready, and stop before it", async () => {
  const story: string[] = [];
  const stop = new AbortController();
  const gate = Promise.withResolvers<void>();
  const last: Part = {
    ...part("c", ["a", "b"], story),
    run: async (signal, ready) => {
      story.push("c starts");
      ready();
      stop.abort();
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      story.push("c stops");
    },
  };
  const running = runParts([part("a", [], story, { readyAfter: gate.promise }), part("b", ["a"], story), last], stop.signal, log);
  await new Promise(setImmediate);
  assert.deepEqual(story, ["a starts"]);
  gate.resolve();
  await running;
  assert.deepEqual(story, ["a starts", "b starts", "c starts", "c stops", "b stops", "a stops"]);
});

test("a part that fails stops the others, and its error is the result", async () => {
  const story: string[] = [];
  const failure = Promise.withResolvers<never>();
  const running = runParts([part("a", [], story), part("b", ["a"], story, { fails: failure.promise })], new AbortController().signal, log);
  await new Promise(setImmediate);
  failure.reject(new Error("port in use"));
  await assert.rejects(running, /port in use/);
  assert.deepEqual(story.at(-1), "a stops");
});

test("stopping while a part is not ready yet does not start those that wait for it", async () => {
  const story: string[] = [];
  const stop = new AbortController();
  const never: Part = {
    name: "a",
    needs: [],
    run: (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true })),
  };
  const running = runParts([never, part("b", ["a"], story)], stop.signal, log);
  await new Promise(setImmediate);
  stop.abort();
  await running;
  assert.deepEqual(story, []);
});

test("a need that nobody provides is a mistake of the program", async () => {
  await assert.rejects(runParts([part("a", ["b"], [])], new AbortController().signal, log), /part a needs b/);
});
