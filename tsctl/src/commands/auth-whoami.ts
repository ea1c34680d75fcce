import type { SelfSubjectReview } from "@tessera/proto";
import { defineCommand, flag } from "../command.ts";
import { formatColumns } from "../print/columns.ts";
import { type Format, formatValue, parseFormat } from "../print/format.ts";

export const authWhoamiCommand = defineCommand<{ readonly format: Format }>({
  name: "auth whoami",
  summary: "Show who the server takes you for",
  examples: `# With the context's certificate or token
tsctl auth whoami
tsctl auth whoami -o json`,
  declare: (command) => command.option("-o, --output <format>", "json, yaml or jsonpath=TEMPLATE"),
  parse: (_words, flags) => ({ format: parseFormat(flag.text(flags["output"])) }),
  run: async ({ format }, context) => {
    const { api } = await context.cluster();
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
    const path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    const review = await api.request<SelfSubjectReview>("POST", path, { body, signal: context.signal });
    await context.out.write(format.as === "table" ? toTable(review) : formatValue(review, format));
    return 0;
  },
});

function toTable({ status }: SelfSubjectReview): string {
  const { username = "", uid, groups = [], extra = {} } = status?.userInfo ?? {};
  return formatColumns([
    ["ATTRIBUTE", "VALUE"],
    ["Username", username],
    ...(uid ? [["UID", uid]] : []),
    ["Groups", `[${groups.join(" ")}]`],
    ...Object.entries(extra as Record<string, unknown>).map(([key, value]) => [`Extra: ${key}`, JSON.stringify(value)]),
  ]);
}
