import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TablePrinter } from "./table.ts";

const options = { wide: false, showNamespace: false, showLabels: false, showHeaders: true };
const columnDefinitions = [{ name: "Name" }, { name: "Status", priority: 0 }, { name: "IP", priority: 1 }];
const row = (name: string, state: string) => ({
  cells: [name, state, "10.0.0.1"],
  object: { metadata: { namespace: "shop", labels: { b: "2", a: "1" } } },
});

describe("tables", () => {
  it("have columns as wide as their widest cell", () => {
    const text = new TablePrinter(options).format({ columnDefinitions, rows: [row("a", "Running"), row("longer", "Pending")] });
    assert.equal(text, "NAME     STATUS\na        Running\nlonger   Pending\n");
  });

  it("show more columns when asked", () => {
    const printer = new TablePrinter({ ...options, wide: true, showNamespace: true, showLabels: true });
    const text = printer.format({ columnDefinitions, rows: [row("a", "Running")] });
    assert.equal(text, "NAMESPACE   NAME   STATUS    IP         LABELS\nshop        a      Running   10.0.0.1   a=1,b=2\n");
  });

  it("keep their header and widths over the rows of a watch", () => {
    const printer = new TablePrinter(options);
    printer.format({ columnDefinitions, rows: [row("longer", "Running")] });
    assert.equal(printer.format({ rows: [row("a", "Failed")] }), "a        Failed\n");
  });

  it("print no header for nothing", () => assert.equal(new TablePrinter(options).format({ columnDefinitions, rows: [] }), ""));

  it("keep a cell on one line, whatever a container put into it", () => {
    const text = new TablePrinter({ ...options, showHeaders: false }).format({ columnDefinitions, rows: [row("a", "\x1b[31mred\nline")] });
    assert.equal(text, "a    [31mred line\n");
  });

  it("say <none> for a cell that is null", () => {
    const text = new TablePrinter({ ...options, showHeaders: false }).format({ columnDefinitions, rows: [{ cells: ["a", null] }] });
    assert.equal(text, "a   <none>\n");
  });
});
