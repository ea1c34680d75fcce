import assert from "node:assert/strict";
import { test } from "node:test";
import { parseBody } from "./decode.ts";
import type { AnyObject } from "./reader.ts";
import { renderList } from "./render.ts";

const kind = { group: "", version: "v1", kind: "ConfigMap" };

function object(i: number): AnyObject {
  const value = { metadata: { name: `n${i}` }, data: { text: "ü".repeat(200) } };
  return { namespace: "", name: `n${i}`, uid: "", revision: i, value, bytes: Buffer.from(JSON.stringify(value)) };
}

for (const count of [0, 1, 2, 2000]) {
  test(`a list of ${count} is as long as it says, in whatever pieces it comes`, async () => {
    const items = Array.from({ length: count }, (_, i) => object(i));
    const answer = renderList({ items, resourceVersion: "5", continueToken: "" }, {
      definition: kind,
      representation: { form: "object", syntax: "json", version: "" },
    } as Parameters<typeof renderList>[1]);
    const pieces: Buffer[] = [];
    if (Buffer.isBuffer(answer.body)) pieces.push(answer.body);
    else for await (const piece of answer.body) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    assert.equal(bytes.length, answer.length ?? bytes.length);
    assert.equal(answer.length !== undefined, pieces.length > 1);
    const list = parseBody(bytes, "application/json", kind).value as { kind: string; items: unknown[] };
    assert.deepEqual([list.kind, list.items], ["ConfigMapList", items.map((item) => item.value)]);
  });
}
