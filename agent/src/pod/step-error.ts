/** Why a step failed, in the words that statuses and events use. */
export class StepError extends Error {
  override readonly name = "StepError";
  /** Waiting reason of the container that the step is about, "" when it is about the pod. */
  readonly waiting: string;
  constructor(waiting: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.waiting = waiting;
  }
}

/** Runs `work`; what it throws becomes a StepError with that waiting reason. */
export async function failingAs<T>(waiting: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StepError) throw error;
    throw new StepError(waiting, error instanceof Error ? error.message : String(error), { cause: error });
  }
}
