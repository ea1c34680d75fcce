import { type ApiResponse, textResponse } from "./http.ts";

/** One thing that must be well for the server to serve; throws to say what is not. */
export interface HealthCheck {
  readonly name: string;
  check(signal: AbortSignal): Promise<void>;
}

const checkTimeoutMs = 2000;

/** "ok", or with `?verbose` and on failure one line per check. */
export async function reportHealth(name: string, checks: readonly HealthCheck[], verbose: boolean): Promise<ApiResponse> {
  const results = await Promise.all(
    checks.map(async ({ name: checkName, check }) => {
      try {
        await check(AbortSignal.timeout(checkTimeoutMs));
        return { line: `[+]${checkName} ok`, failed: false };
      } catch (error) {
        return { line: `[-]${checkName} failed: ${error instanceof Error ? error.message : String(error)}`, failed: true };
      }
    }),
  );
  const failed = results.some((result) => result.failed);
  if (!failed && !verbose) return textResponse("ok");
  const lines = results.map((result) => result.line);
  return textResponse(`${lines.join("\n")}\n${name} check ${failed ? "failed" : "passed"}\n`, failed ? 500 : 200);
}
