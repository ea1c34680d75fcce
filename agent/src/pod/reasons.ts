/**
 * Words of Kubernetes' public API that the agent writes into statuses and events. They are spelt as there: people and
 * programs match them.
 */

/** `state.waiting.reason` of a container. */
export const Waiting = {
  containerCreating: "ContainerCreating",
  podInitializing: "PodInitializing",
  errImagePull: "ErrImagePull",
  imagePullBackOff: "ImagePullBackOff",
  errImageNeverPull: "ErrImageNeverPull",
  invalidImageName: "InvalidImageName",
  configError: "CreateContainerConfigError",
  createError: "CreateContainerError",
  runError: "RunContainerError",
  crashLoop: "CrashLoopBackOff",
} as const;

/** `state.terminated.reason` of a container. */
export const Terminated = {
  completed: "Completed",
  error: "Error",
  oomKilled: "OOMKilled",
  startError: "StartError",
  /** Nobody saw how it ended. */
  statusUnknown: "ContainerStatusUnknown",
} as const;

/** Types of pod conditions. */
export const Condition = {
  podReadyToStartContainers: "PodReadyToStartContainers",
  initialized: "Initialized",
  containersReady: "ContainersReady",
  ready: "Ready",
  podScheduled: "PodScheduled",
  disruptionTarget: "DisruptionTarget",
  /** Not one of Kubernetes': containers stand still because an annotation says so. */
  paused: "tessera.dev/Paused",
} as const;

/** Reasons of pod conditions that are not True. */
export const NotReady = {
  containersNotReady: "ContainersNotReady",
  containersNotInitialized: "ContainersNotInitialized",
  podCompleted: "PodCompleted",
  podFailed: "PodFailed",
  readinessGates: "ReadinessGatesNotReady",
} as const;

/** `status.reason` of a pod. */
export const PodReason = {
  deadlineExceeded: "DeadlineExceeded",
  evicted: "Evicted",
  sysctlForbidden: "SysctlForbidden",
} as const;

/** Reason of the condition DisruptionTarget, of a pod that the node could not keep. */
export const byTheNode = "TerminationByKubelet";

/** Reasons of Events about pods. */
export const EventReason = {
  pulling: "Pulling",
  pulled: "Pulled",
  failedPullSecret: "FailedToRetrieveImagePullSecret",
  created: "Created",
  started: "Started",
  killing: "Killing",
  /** Not ones of Kubernetes'. */
  paused: "Paused",
  resumed: "Resumed",
  unhealthy: "Unhealthy",
  failedPostStart: "FailedPostStartHook",
  failedPreStop: "FailedPreStopHook",
  backOff: "BackOff",
  failed: "Failed",
  failedMount: "FailedMount",
  failedSandbox: "FailedCreatePodSandBox",
  failedKill: "FailedKillPod",
  failedSync: "FailedSync",
  errImageNeverPull: "ErrImageNeverPull",
  sandboxChanged: "SandboxChanged",
  invalidEnvironment: "InvalidEnvironmentVariableNames",
} as const;
