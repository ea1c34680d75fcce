import { type StatusReason, TesseraError } from "@tessera/proto";

/** Waits for a write that may find its work done or pointless; errors of these reasons say so and are no failure. */
export async function unless(reasons: readonly StatusReason[], write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!(error instanceof TesseraError && reasons.includes(error.reason))) throw error;
  }
}
