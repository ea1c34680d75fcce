import { join } from "node:path";
import { isCancellation, nameProcess, readableInJournal } from "@tessera/proto";
import { destination, pino } from "pino";
import { Pki } from "./auth/pki.ts";
import { rotateEncryptionKey } from "./rotate-encryption-key.ts";
import { serve } from "./serve.ts";
import { createProgram, type NodeCredentialsSettings, type RotateEncryptionKeySettings, type ServeSettings } from "./settings.ts";

/** Runs until SIGTERM or SIGINT; a second signal ends the process at once. */
async function serveUntilSignal(settings: ServeSettings): Promise<void> {
  const log = pino({ level: settings.logLevel, base: undefined }, readableInJournal(destination({ dest: 2, sync: true })));
  nameProcess("tessera-control");
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(1);
      log.info({ signal }, "stopping");
      stop.abort();
    });
  }
  try {
    await serve(settings, log, stop.signal);
    log.info("stopped");
  } catch (error) {
    if (stop.signal.aborted && isCancellation(error)) return;
    log.fatal({ err: error }, "control plane cannot run");
    process.exitCode = 1;
  }
}

async function writeNodeCredentials({ dataDir, name, out }: NodeCredentialsSettings): Promise<void> {
  const pki = await Pki.openExisting(join(dataDir, "pki"));
  if (pki === undefined) throw new Error(`${dataDir} holds no cluster yet: start "controlplane serve --data-dir ${dataDir}" first`);
  await pki.writeNodeCredentials(name, out);
}

try {
  const rotate = async (settings: RotateEncryptionKeySettings) => void process.stdout.write(`${await rotateEncryptionKey(settings)}\n`);
  const commands = { serve: serveUntilSignal, nodeCredentials: writeNodeCredentials, rotateEncryptionKey: rotate };
  await createProgram(commands).parseAsync();
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
