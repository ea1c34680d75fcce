import type { ApiObject } from "../api/api.ts";
import { toYaml } from "../print/format.ts";
import { describeMetadata } from "./metadata.ts";
import type { Line } from "./writer.ts";

const hidden = new Set(["apiVersion", "kind", "metadata"]);

/** For kinds that have no words of their own here: their fields. What a Secret holds is only counted. */
export function describeObject(object: ApiObject, namespaced: boolean): Line[] {
  const fields = Object.entries(object).filter(([name]) => !hidden.has(name));
  const lines = fields.map(([name, value]): Line => {
    const shown = object.kind === "Secret" && (name === "data" || name === "stringData") ? sizes(value) : value;
    if (typeof shown !== "object" || shown === null) return { name, value: String(shown) };
    return {
      name,
      section: toYaml(shown)
        .trimEnd()
        .split("\n")
        .map((text) => ({ text })),
    };
  });
  return [...describeMetadata(object.metadata, namespaced), ...lines];
}

function sizes(data: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries((data ?? {}) as Record<string, string>).map(([key, value]) => [key, `${Buffer.from(value, "base64").length} bytes`]),
  );
}
