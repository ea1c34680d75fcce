import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import koffi from "koffi";
import { Binding, declareStructs } from "./binding.ts";

const nativeDir = fileURLToPath(new URL("../../dist", import.meta.url));

test("koffi and the C compiler agree on every struct, field by field", () => {
  const reported = new Map(
    new Binding(nativeDir)
      .layout()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]),
  );
  const declared = new Map<string, string>();
  for (const [name, type] of Object.entries(declareStructs())) {
    declared.set(name, `${type.size}`);
    for (const [field, member] of Object.entries(type.members ?? {}))
      declared.set(`${name}.${field}`, `${member.offset} ${member.type.size}`);
  }
  assert.deepEqual(Object.fromEntries(declared), Object.fromEntries(reported));
});

test("two bindings in one process do not disturb each other's types", async () => {
  const first = new Binding(nativeDir);
  const second = new Binding(nativeDir);
  for (const binding of [first, second])
    await assert.rejects(binding.seccompDefault([null], new Uint8Array(4), [4]), {
      name: "RuntimeError",
      step: "build system call filter",
      errno: koffi.os.errno["ENOBUFS"],
    });
});
