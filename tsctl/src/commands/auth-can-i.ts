import {
  type NonResourceAttributes,
  type ResourceAttributes,
  type SelfSubjectAccessReview,
  type SelfSubjectRulesReview,
  TesseraError,
} from "@tessera/proto";
import type { Discovery } from "../api/discovery.ts";
import { type CommandContext, defineCommand, exitCode, flag } from "../command.ts";
import { formatColumns } from "../print/columns.ts";

interface CanIOptions {
  /** Empty: show everything that is allowed. */
  readonly words: readonly string[];
  readonly list: boolean;
  readonly subresource: string;
  readonly allNamespaces: boolean;
  readonly quiet: boolean;
}

const reviews = "/apis/authorization.k8s.io/v1";

export const authCanICommand = defineCommand<CanIOptions>({
  name: "auth can-i",
  summary: "Ask whether you may do something",
  examples: `# Answers yes or no, and so does the exit code
tsctl auth can-i create pods
tsctl auth can-i get pods --subresource=log
# A path that stands for no objects
tsctl auth can-i get /metrics
# All that you may do
tsctl auth can-i --list`,
  declare: (command) =>
    command
      .argument("[verb]", "what to do, such as get or create")
      .argument("[type]", "a resource, TYPE/NAME, or a path")
      .argument("[name]", "the name of one object")
      .option("--list", "show everything that is allowed in the namespace")
      .option("--subresource <name>", "a part of the object, such as log")
      .option("-A, --all-namespaces", "in all namespaces")
      .option("-q, --quiet", "only the exit code"),
  parse: (words, flags) => ({
    words,
    list: flag.isSet(flags["list"]),
    subresource: flag.text(flags["subresource"]) ?? "",
    allNamespaces: flag.isSet(flags["allNamespaces"]),
    quiet: flag.isSet(flags["quiet"]),
  }),
  validate: ({ words, list }) => {
    if (list) return words.length === 0 ? [] : ["--list shows everything: leave verb and type out"];
    return words.length >= 2 ? [] : ['say what to do with what: "tsctl auth can-i VERB TYPE [NAME]", or use --list'];
  },
  run: async (options, context) => (options.list ? await listRules(context) : await ask(options, context)),
});

async function ask(options: CanIOptions, context: CommandContext): Promise<number> {
  const { api, namespace, discovery } = await context.cluster();
  const [verb = "", what = "", name = ""] = options.words;
  const spec = what.startsWith("/")
    ? { nonResourceAttributes: { verb, path: what } satisfies NonResourceAttributes }
    : { resourceAttributes: toAttributes({ verb, what, name, namespace, options }, await discovery()) };
  const body = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec };
  const { status } = await api.request<SelfSubjectAccessReview>("POST", `${reviews}/selfsubjectaccessreviews`, {
    body,
    signal: context.signal,
  });
  const allowed = status?.allowed === true;
  if (!options.quiet) await context.out.write(allowed ? "yes\n" : `no${status?.reason ? ` - ${status.reason}` : ""}\n`);
  return allowed ? 0 : exitCode.failed;
}

interface Question {
  readonly verb: string;
  readonly what: string;
  readonly name: string;
  readonly namespace: string;
  readonly options: CanIOptions;
}

function toAttributes({ verb, what, name, namespace, options }: Question, discovery: Discovery): ResourceAttributes {
  const [type = "", named = "", ...more] = what.split("/");
  if (more.length > 0 || (named !== "" && name !== "")) throw new TesseraError("BadRequest", `"${what}" is neither TYPE nor TYPE/NAME`);
  const object = named === "" ? name : named;
  const attributes = { verb, subresource: options.subresource, name: object };
  if (type === "*") return { ...attributes, group: "*", resource: "*", namespace: options.allNamespaces ? "" : namespace };
  const { group, version, plural, namespaced } = discovery.find(type);
  return { ...attributes, group, version, resource: plural, namespace: namespaced && !options.allNamespaces ? namespace : "" };
}

async function listRules(context: CommandContext): Promise<number> {
  const { api, namespace } = await context.cluster();
  const body = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectRulesReview", spec: { namespace } };
  const { status } = await api.request<SelfSubjectRulesReview>("POST", `${reviews}/selfsubjectrulesreviews`, {
    body,
    signal: context.signal,
  });
  const { resourceRules = [], nonResourceRules = [] } = status ?? {};
  const join = (values: readonly string[] = []) => values.join(",");
  await context.out.write(
    formatColumns([
      ["RESOURCES", "GROUPS", "NAMES", "VERBS"],
      ...resourceRules.map((rule) => [join(rule.resources), join(rule.apiGroups), join(rule.resourceNames) || "*", join(rule.verbs)]),
      ...nonResourceRules.map((rule) => [join(rule.nonResourceURLs), "(paths)", "", join(rule.verbs)]),
    ]),
  );
  return 0;
}
