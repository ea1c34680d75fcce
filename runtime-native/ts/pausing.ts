import { constants } from "node:os";
import type { NativeLibrary } from "./native-library.ts";
import { RuntimeError } from "./runtime.ts";
import type { Sandbox } from "./sandboxes.ts";

export type Freezer = Pick<NativeLibrary, "freezeCgroup" | "isCgroupFrozen">;

/** That a container is paused is known by its cgroup alone: it stays so whatever becomes of the agent. */
export async function recallPaused(sandbox: Pick<Sandbox, "cgroup" | "containers">, freezer: Freezer): Promise<void> {
  const running = [...sandbox.containers.values()].filter((state) => state.phase === "running");
  await Promise.all(
    running.map(async (state) => {
      const isFrozen = await unlessEnded(() => freezer.isCgroupFrozen(`${sandbox.cgroup}/${state.id}`));
      if (isFrozen) sandbox.containers.set(state.id, { ...state, paused: true });
    }),
  );
}

/** Does nothing when it is so already, or the container does not run. */
export async function setPaused(sandbox: Sandbox, container: string, paused: boolean, freezer: Freezer): Promise<void> {
  const before = sandbox.containers.get(container);
  if (before?.phase !== "running" || (before.paused ?? false) === paused) return;
  await unlessEnded(() => freezer.freezeCgroup(`${sandbox.cgroup}/${container}`, paused));
  const state = sandbox.containers.get(container);
  if (state?.phase !== "running") return;
  const { paused: _, ...running } = state;
  sandbox.containers.set(container, paused ? { ...running, paused: true } : running);
}

/** Lets all go on. On cgroup v1 nothing wakes a paused process, not even SIGKILL. */
export async function resumeAll(sandbox: Sandbox, freezer: Freezer): Promise<void> {
  const paused = [...sandbox.containers.values()].filter((state) => state.phase === "running" && state.paused);
  await Promise.all(paused.map(({ id }) => setPaused(sandbox, id, false, freezer)));
}

/** Works on the cgroup of a container that may end and be removed meanwhile; undefined when it was. */
async function unlessEnded<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof RuntimeError && error.errno === constants.errno.ENOENT) return undefined;
    throw error;
  }
}
