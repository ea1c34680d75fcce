import { spawn } from "node:child_process";
import { once } from "node:events";

/**
 * Tells systemd that this service is ready, where a unit of Type=notify started it (sd_notify(3)); does nothing elsewhere. Node.js has no
 * datagram sockets of the UNIX family, so systemd's own program says it for us.
 */
export async function tellServiceManagerReady(): Promise<void> {
  if (process.env["NOTIFY_SOCKET"] === undefined) return;
  const notify = spawn("systemd-notify", ["--ready"], { stdio: ["ignore", "inherit", "inherit"] });
  const [code, signal] = (await once(notify, "exit")) as [number | null, NodeJS.Signals | null];
  if (code !== 0) throw new Error(`systemd-notify --ready ended with ${signal ?? `exit code ${code}`}`);
}
