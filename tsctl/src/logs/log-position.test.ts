import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LogPosition } from "./log-position.ts";

/** Lines with times: several at one moment, some empty, some alike. */
const lines = [
  ["2026-01-01T00:00:00.000000001Z", "first"],
  ["2026-01-01T00:00:00.000500000Z", "same"],
  ["2026-01-01T00:00:00.000500000Z", "same"],
  ["2026-01-01T00:00:00.000500000Z", ""],
  ["2026-01-01T00:00:00.000500001Z", "with spaces in it, grün"],
  ["2026-01-01T00:00:01.000000000Z", "same"],
  ["2026-01-01T00:00:01.000000000Z", "last"],
] as const;

const bytesOf = (withTimes: boolean, from = "") =>
  Buffer.from(
    lines
      .filter(([time]) => time >= from)
      .map(([time, text]) => (withTimes ? `${time} ${text}\n` : `${text}\n`))
      .join(""),
  );

/** What the server has from a time on: it knows milliseconds only, so some of what was before comes as well. */
const servedFrom = (time: string | undefined) => bytesOf(true, time === undefined ? "" : time.slice(0, 23));

describe("the position in a log", () => {
  for (const withTimes of [false, true]) {
    it(`loses and doubles nothing wherever the log breaks off, ${withTimes ? "with" : "without"} times`, () => {
      const whole = servedFrom(undefined);
      for (let first = 0; first <= whole.length; first++) {
        for (const secondShare of [0, 0.3, 0.7]) {
          const position = new LogPosition(withTimes);
          const shown = [position.take(whole.subarray(0, first))];
          position.resume();
          const again = servedFrom(position.time);
          shown.push(position.take(again.subarray(0, Math.floor(again.length * secondShare))));
          position.resume();
          // In pieces, as it may come.
          for (const byte of servedFrom(position.time)) shown.push(position.take(Buffer.of(byte)));
          assert.equal(Buffer.concat(shown).toString(), bytesOf(withTimes).toString(), `cut at ${first} and ${secondShare}`);
        }
      }
    });
  }

  it("is unknown before anything came", () => {
    const position = new LogPosition(false);
    assert.equal(position.time, undefined);
    position.take(Buffer.from("2026-01-01T00:00:00.000000001Z x"));
    assert.equal(position.time, "2026-01-01T00:00:00.000000001Z");
  });
});
