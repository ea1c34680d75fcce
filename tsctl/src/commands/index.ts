import type { AnyCommand } from "../command.ts";
import { apiResourcesCommand } from "./api-resources.ts";
import { applyCommand } from "./apply.ts";
import { attachCommand } from "./attach.ts";
import { authCanICommand } from "./auth-can-i.ts";
import { authWhoamiCommand } from "./auth-whoami.ts";
import { completionCommand } from "./completion.ts";
import { cordonCommand, uncordonCommand } from "./cordon.ts";
import { cpCommand } from "./cp.ts";
import { createCommand } from "./create.ts";
import { createGenerators } from "./create-generators.ts";
import { deleteCommand } from "./delete.ts";
import { describeCommand } from "./describe.ts";
import { devDoctorCommand } from "./dev/doctor.ts";
import { devDownCommand } from "./dev/down.ts";
import { devKubeconfigCommand } from "./dev/kubeconfig.ts";
import { devListCommand } from "./dev/list.ts";
import { devStatusCommand } from "./dev/status.ts";
import { devUpCommand } from "./dev/up.ts";
import { diffCommand } from "./diff.ts";
import { drainCommand } from "./drain.ts";
import { editCommand } from "./edit.ts";
import { eventsCommand } from "./events.ts";
import { execCommand } from "./exec.ts";
import { explainCommand } from "./explain.ts";
import { getCommand } from "./get.ts";
import { imageLoadCommand } from "./image-load.ts";
import { imageLsCommand } from "./image-ls.ts";
import { imagePruneCommand, imageRmCommand } from "./image-rm.ts";
import { joinTokenCommands } from "./join-token.ts";
import { logsCommand } from "./logs.ts";
import { annotateCommand, labelCommand } from "./mark.ts";
import { patchCommand } from "./patch.ts";
import { portForwardCommand } from "./port-forward.ts";
import { replaceCommand } from "./replace.ts";
import { runCommand } from "./run.ts";
import { topNodeCommand } from "./top-node.ts";
import { topPodCommand } from "./top-pod.ts";
import { versionCommand } from "./version.ts";
import { waitCommand } from "./wait.ts";
import { whyCommand } from "./why.ts";

/** All commands, in the order of --help. */
export const commands: readonly AnyCommand[] = [
  applyCommand,
  createCommand,
  ...createGenerators,
  runCommand,
  getCommand,
  describeCommand,
  whyCommand,
  logsCommand,
  execCommand,
  attachCommand,
  portForwardCommand,
  cpCommand,
  deleteCommand,
  editCommand,
  patchCommand,
  labelCommand,
  annotateCommand,
  replaceCommand,
  diffCommand,
  waitCommand,
  eventsCommand,
  topPodCommand,
  topNodeCommand,
  cordonCommand,
  uncordonCommand,
  drainCommand,
  ...joinTokenCommands,
  authWhoamiCommand,
  authCanICommand,
  explainCommand,
  apiResourcesCommand,
  imageLoadCommand,
  imageLsCommand,
  imageRmCommand,
  imagePruneCommand,
  devUpCommand,
  devDownCommand,
  devStatusCommand,
  devListCommand,
  devDoctorCommand,
  devKubeconfigCommand,
  versionCommand,
  completionCommand,
];

/** What the words are for that only lead to further commands. */
export const groups: Readonly<Record<string, string>> = {
  auth: "Who you are",
  "join-token": "Tokens with which machines join as nodes",
  secret: "Make a secret",
  top: "What pods and nodes use",
  image: "Images of the nodes",
  dev: "Development clusters on this machine",
};
