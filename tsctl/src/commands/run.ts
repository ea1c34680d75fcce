import { type Pod, TesseraError } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";
import { collect, defineCommand, flag } from "../command.ts";
import { attachToNew } from "../create/attach-new.ts";
import { createObject, madeManifest } from "../create/create-object.ts";
import { requestDeletion } from "../gone.ts";
import { declareWriting, parseWriting, type Writing } from "../writing.ts";

interface RunOptions {
  readonly pod: Pod;
  readonly image: string;
  readonly restart: string;
  readonly attach: boolean;
  readonly stdin: boolean;
  readonly tty: boolean;
  readonly quiet: boolean;
  readonly remove: boolean;
  readonly writing: Writing;
}

export const runCommand = defineCommand<RunOptions>({
  name: "run",
  summary: "Run an image in a new pod",
  examples: `# The image's own command
tsctl run hello --image=tessera.local/busybox:1
# Another one, once
tsctl run once --image=tessera.local/busybox:1 --restart=Never --command -- sh -c 'echo done'
# A shell, gone afterwards
tsctl run -it --rm shell --image=tessera.local/busybox:1 --restart=Never -- sh
# A manifest to begin with
tsctl run hello --image=tessera.local/busybox:1 --dry-run=client -o yaml > pod.yaml`,
  declare: (command) =>
    declareWriting(command.argument("<name>", "of the new pod").argument("[word...]", "after --, arguments for the image's command"))
      .option("--image <image>", "what to run")
      .option("--command", "the words after -- are the command itself")
      .option("--env <name=value>", "a variable (repeatable)", collect)
      .option("-l, --labels <labels>", "such as app=web,tier=front; run=NAME unless given")
      .option("--annotations <key=value>", "an annotation (repeatable)", collect)
      .option("--port <number>", "a port that the container serves")
      .option("--restart <policy>", "Always, OnFailure or Never", "Always")
      .option("--image-pull-policy <policy>", "Always, IfNotPresent or Never")
      .option("-i, --stdin", "pass stdin on")
      .option("-t, --tty", "with a terminal")
      .option("--attach", "show what it prints; exit as it does with --restart=Never")
      .option("--rm", "delete the pod afterwards")
      .option("-q, --quiet", "only what the container prints")
      .option("--privileged", "with all rights of the node"),
  parse: ([name = "", ...words], flags) => ({
    pod: makePod(name, words, flags),
    image: flag.text(flags["image"]) ?? "",
    restart: flag.text(flags["restart"]) ?? "Always",
    attach: flag.isSet(flags["attach"]) || flag.isSet(flags["stdin"]),
    stdin: flag.isSet(flags["stdin"]),
    tty: flag.isSet(flags["tty"]),
    quiet: flag.isSet(flags["quiet"]),
    remove: flag.isSet(flags["rm"]),
    writing: parseWriting(flags),
  }),
  validate: ({ image, restart, attach, stdin, tty, remove, writing }) => [
    ...(tty && !stdin ? ["a terminal needs stdin: use -it"] : []),
    ...(remove && !attach ? ["--rm should only be used for attached containers"] : []),
    ...(attach && writing.dryRun !== "none" ? ["there is nothing to attach to in a dry run"] : []),
    ...(image === "" ? ["--image is missing: what is to run?"] : []),
    ...(["Always", "OnFailure", "Never"].includes(restart)
      ? []
      : [`invalid restart policy: ${restart}; there are Always, OnFailure and Never`]),
  ],
  run: async ({ pod, writing, attach, remove, restart, ...session }, context) => {
    const quietly = attach ? { ...context, out: { ...context.out, write: async () => {} } } : context;
    await createObject({ manifest: madeManifest(pod as ApiObject), writing, validation: "Strict" }, quietly);
    if (!attach) return 0;
    const cluster = await context.cluster();
    const { namespace } = cluster;
    const name = pod.metadata?.name ?? "";
    try {
      const code = await attachToNew({ ...session, pod: name, namespace }, context);
      return restart === "Never" ? code : 0;
    } finally {
      if (remove) {
        const resource = (await cluster.discovery()).find("pods");
        await requestDeletion({ resource, namespace, name }, {}, cluster, context);
        if (!session.quiet) await context.out.write(`pod "${name}" deleted\n`);
      }
    }
  },
});

function makePod(name: string, words: readonly string[], flags: Readonly<Record<string, unknown>>): Pod {
  const port = flag.text(flags["port"]);
  if (port !== undefined && !/^\d+$/.test(port)) throw new TesseraError("BadRequest", `--port "${port}" is not a number`);
  const env = flag.texts(flags["env"]).map((text) => {
    const [key, value] = splitPair(text, "--env");
    return { name: key, value };
  });
  const pullPolicy = flag.text(flags["imagePullPolicy"]);
  const labels = flag.text(flags["labels"]);
  const annotations = flag.texts(flags["annotations"]).map((text) => splitPair(text, "--annotations"));
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      labels: labels === undefined ? { run: name } : Object.fromEntries(labels.split(",").map((text) => splitPair(text, "--labels"))),
      ...(annotations.length === 0 ? {} : { annotations: Object.fromEntries(annotations) }),
    },
    spec: {
      containers: [
        {
          name,
          image: flag.text(flags["image"]),
          ...(words.length === 0 ? {} : flag.isSet(flags["command"]) ? { command: [...words] } : { args: [...words] }),
          ...(env.length === 0 ? {} : { env }),
          ...(port === undefined ? {} : { ports: [{ containerPort: Number(port) }] }),
          ...(flag.isSet(flags["stdin"]) ? { stdin: true, stdinOnce: true } : {}),
          ...(flag.isSet(flags["tty"]) ? { tty: true } : {}),
          ...(pullPolicy === undefined ? {} : { imagePullPolicy: pullPolicy }),
          ...(flag.isSet(flags["privileged"]) ? { securityContext: { privileged: true } } : {}),
        },
      ],
      restartPolicy: flag.text(flags["restart"]) ?? "Always",
    },
  };
}

function splitPair(text: string, name: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new TesseraError("BadRequest", `invalid ${name.slice(2)}: ${text}; it looks like NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}
