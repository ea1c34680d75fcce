/**
 * The shape of every long-lived part. Its caches must be filled before `run` is called. `run` resolves after `signal` was aborted and all that was
 * under way has ended; it rejects only when the part cannot go on at all (a port in use), and never for an error that trying again may mend.
 */
export interface ControlLoop {
  readonly name: string;
  /** `ready` is called once, when the part does its work. */
  run(signal: AbortSignal, ready?: () => void): Promise<void>;
}
