import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";

/**
 * Tells systemd that this service is ready, and what `systemctl status` is to say of it, where a unit of Type=notify started it (sd_notify(3)); does
 * nothing elsewhere. Node.js has no datagram sockets of the UNIX family, so systemd's own program says it for us.
 */
export async function tellServiceManagerReady(status: string): Promise<void> {
  if (process.env["NOTIFY_SOCKET"] === undefined) return;
  const notify = spawn("systemd-notify", ["--ready", `--status=${status}`], { stdio: ["ignore", "inherit", "inherit"] });
  const [code, signal] = (await once(notify, "exit")) as [number | null, NodeJS.Signals | null];
  if (code !== 0) throw new Error(`systemd-notify --ready ended with ${signal ?? `exit code ${code}`}`);
}

/** Has ps, top and systemd show this name, of 15 bytes at most, where Node.js calls itself MainThread (proc(5)). Arguments stay as they are. */
export function nameProcess(name: string): void {
  writeFileSync("/proc/self/comm", name);
}
