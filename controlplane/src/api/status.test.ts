import assert from "node:assert/strict";
import test from "node:test";
import { TesseraError } from "@tessera/proto";
import { jsonResponse, withWarnings } from "./http.ts";
import { toStatus } from "./status.ts";

test("a reason becomes its code, with details and causes", () => {
  const causes = [{ reason: "FieldValueRequired", field: "spec.a", message: "Required value" }];
  const status = toStatus(new TesseraError("Invalid", "text", { causes, details: { name: "a", kind: "Pod", group: "" } }));
  assert.deepEqual(status, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: "text",
    reason: "Invalid",
    details: { name: "a", kind: "Pod", causes },
    code: 422,
  });
});

test("what may be tried again says when", () => {
  assert.equal(toStatus(new TesseraError("ServiceUnavailable", "x")).details?.retryAfterSeconds, 1);
  assert.equal(toStatus(new TesseraError("Timeout", "x")).code, 504);
});

test("an unknown error is ours", () => {
  const status = toStatus(new TypeError("x is not a function"));
  assert.equal(status.code, 500);
  assert.equal(status.reason, "InternalError");
  assert.match(status.message ?? "", /^Internal error occurred: x is not a function$/);
});

test("a warning cannot break out of its header", () => {
  const { headers } = withWarnings(jsonResponse({}), ['a "b"\r\nSet-Cookie: x']);
  assert.deepEqual(headers["warning"], ['299 - "a \\"b\\"  Set-Cookie: x"']);
});
