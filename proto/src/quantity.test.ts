import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalQuantity, compareQuantities, formatQuantity, isQuantity, quantityMilliValue, quantityValue } from "./quantity.ts";

test("each suffix has its value, and amounts round up", () => {
  const table: [text: string, value: number, milli: number, canonical: string][] = [
    ["0", 0, 0, "0"],
    ["-0", 0, 0, "0"],
    ["1", 1, 1000, "1"],
    ["+5", 5, 5000, "5"],
    ["-5", -5, -5000, "-5"],
    ["0.5", 1, 500, "500m"],
    [".5", 1, 500, "500m"],
    ["1.", 1, 1000, "1"],
    ["-1.5", -2, -1500, "-1500m"],
    ["250m", 1, 250, "250m"],
    ["1000m", 1, 1000, "1"],
    ["1500m", 2, 1500, "1500m"],
    ["1n", 1, 1, "1n"],
    ["0.1n", 1, 1, "1n"],
    ["100u", 1, 1, "100u"],
    ["1000u", 1, 1, "1m"],
    ["2k", 2000, 2_000_000, "2k"],
    ["1000", 1000, 1_000_000, "1k"],
    ["1024", 1024, 1_024_000, "1024"],
    ["3M", 3e6, 3e9, "3M"],
    ["4G", 4e9, 4e12, "4G"],
    ["5T", 5e12, 5e15, "5T"],
    ["6P", 6e15, 6e18, "6P"],
    ["1E", 1e18, 1e21, "1E"],
    ["1Ki", 1024, 1_024_000, "1Ki"],
    ["1.5Ki", 1536, 1_536_000, "1536"],
    ["0.1Ki", 103, 102_400, "102400m"],
    ["1.1Ki", 1127, 1_126_400, "1127"],
    ["64Mi", 64 * 2 ** 20, 64 * 2 ** 20 * 1000, "64Mi"],
    ["1024Mi", 2 ** 30, 2 ** 30 * 1000, "1Gi"],
    ["1Ti", 2 ** 40, 2 ** 40 * 1000, "1Ti"],
    ["1Pi", 2 ** 50, 2 ** 50 * 1000, "1Pi"],
    ["1Ei", 2 ** 60, 2 ** 60 * 1000, "1Ei"],
    ["1e3", 1000, 1_000_000, "1e3"],
    ["1E3", 1000, 1_000_000, "1e3"],
    ["12e2", 1200, 1_200_000, "1200"],
    ["1e-3", 1, 1, "1e-3"],
    ["1e+2", 100, 100_000, "100"],
    ["1e99", 2 ** 63, 2 ** 63 * 1000, "9223372036854775807"],
    ["100Ei", 2 ** 63, 2 ** 63 * 1000, "9223372036854775807"],
  ];
  for (const [text, value, milli, canonical] of table) {
    assert.equal(quantityValue(text) + 0, value, `value of ${text}`);
    assert.equal(quantityMilliValue(text) + 0, milli, `thousandths of ${text}`);
    assert.equal(canonicalQuantity(text), canonical, `canonical form of ${text}`);
    assert.equal(canonicalQuantity(canonical), canonical, `canonical form of ${canonical}`);
  }
});

test("what is no quantity is refused with its text", () => {
  for (const text of [
    "",
    " 1",
    "1 ",
    "1K",
    "1ki",
    "1mi",
    "1Mb",
    "abc",
    "1.2.3",
    "--1",
    "1e",
    "1e1.5",
    "0x10",
    ".",
    "1e3Ki",
    "9".repeat(65),
    "١",
  ]) {
    assert.equal(isQuantity(text), false, text);
    assert.throws(() => quantityValue(text), { name: "TesseraError", reason: "Invalid", message: /is not a quantity/ });
  }
  assert.equal(isQuantity(5), false);
});

test("an absurd exponent costs no time", () => {
  const started = performance.now();
  assert.equal(canonicalQuantity("1e999999999999"), "9223372036854775807");
  assert.equal(canonicalQuantity("1e-999999999999"), "1e-9");
  assert.ok(performance.now() - started < 2000);
});

test("amounts compare by value, not by text", () => {
  assert.equal(compareQuantities("1Gi", "1024Mi"), 0);
  assert.equal(compareQuantities("1000m", "1001m"), -1);
  assert.equal(compareQuantities("1G", "1Gi"), -1);
  assert.equal(compareQuantities("0.1", "99m"), 1);
});

test("whole amounts are written in canonical form", () => {
  assert.equal(formatQuantity(64 * 2 ** 20, "BinarySI"), "64Mi");
  assert.equal(formatQuantity(1000, "BinarySI"), "1k");
  assert.equal(formatQuantity(2000, "BinarySI"), "2000");
  assert.equal(formatQuantity(2n ** 60n, "BinarySI"), "1Ei");
  assert.equal(formatQuantity(110, "DecimalSI"), "110");
  assert.equal(formatQuantity(2_000_000, "DecimalSI"), "2M");
});
