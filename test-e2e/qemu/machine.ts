import { spawn } from "node:child_process";
import { createWriteStream, readFileSync } from "node:fs";
import type { GuestImage } from "./guest-image.ts";
import type { GuestKernel } from "./kernel.ts";

/** What the guest tells, one line of JSON after an '@' each; and what else was written on the console since it told something. */
export type GuestEvent = Told & { readonly said: string };

type Told =
  | { readonly event: "booted" }
  | { readonly event: "failed"; readonly step: string; readonly error: string }
  | { readonly event: "file"; readonly file: string }
  | {
      readonly event: "test";
      readonly file: string;
      readonly name: string;
      readonly milliseconds: number;
      readonly error?: string;
      readonly skipped?: string;
    }
  | { readonly event: "ended"; readonly status: number };

export interface MachineRun {
  readonly events: readonly GuestEvent[];
  /** All that was written on its console. */
  readonly console: string;
  /** False when it was killed at the deadline. */
  readonly ended: boolean;
}

/** A kernel that hangs while it calibrates its clock has said nothing by then; all others boot in a few seconds. */
const bootTimeoutMs = 60_000;
const bootAttempts = 3;

/**
 * Runs the guest to its end. One that does not boot is tried again: on a machine without hardware virtualization the emulated clock may
 * confuse the kernel so early that there is nothing to be seen of it. Whatever comes after the boot happens once.
 */
export async function runMachine(kernel: GuestKernel, image: GuestImage, deadlineMs: number): Promise<MachineRun> {
  for (let attempt = 1; ; attempt++) {
    const run = await runOnce(kernel, image, deadlineMs);
    if (run.events.length > 0 || attempt === bootAttempts) return run;
  }
}

async function runOnce(kernel: GuestKernel, image: GuestImage, deadlineMs: number): Promise<MachineRun> {
  const events: GuestEvent[] = [];
  let text = "";
  let rest = "";
  let said = "";
  let killed = false;
  // It ends with this process, however that ends.
  const command = ["--pdeathsig", "KILL", "qemu-system-x86_64", ...qemuArguments(kernel, image)];
  const qemu = spawn("setpriv", command, { stdio: ["ignore", "pipe", "pipe"] });
  const kill = () => {
    killed = true;
    qemu.kill("SIGKILL");
  };
  const bootTimer = setTimeout(kill, bootTimeoutMs);
  const deadline = setTimeout(kill, deadlineMs);
  const log = createWriteStream(image.console);
  const take = (chunk: string) => {
    text += chunk;
    log.write(chunk);
    const lines = `${rest}${chunk}`.split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const told = parseTold(line);
      if (told === undefined) {
        if (line !== "") said += `${line}\n`;
        continue;
      }
      events.push({ ...told, said });
      said = "";
      clearTimeout(bootTimer);
    }
  };
  qemu.stdout.setEncoding("utf8").on("data", take);
  qemu.stderr.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  try {
    await new Promise<void>((resolve, reject) => qemu.once("error", reject).once("close", () => resolve()));
  } finally {
    clearTimeout(bootTimer);
    clearTimeout(deadline);
    log.end();
  }
  return { events, console: text, ended: !killed };
}

function parseTold(line: string): Told | undefined {
  if (!line.startsWith("@{")) return undefined;
  try {
    return JSON.parse(line.slice(1)) as Told;
  } catch {
    // Something else was written into the line: the test is missing then, which is noticed.
    return undefined;
  }
}

function qemuArguments(kernel: GuestKernel, { initramfs, disk }: GuestImage): string[] {
  const [, megahertz = "2000"] = /^cpu MHz\s*:\s*(\d+)/m.exec(readFileSync("/proc/cpuinfo", "utf8")) ?? [];
  const commandLine = [
    ...["console=ttyS0", "quiet", "loglevel=3", "panic=-1", "reboot=t"],
    // The kernel has no second clock to measure these by, and hangs now and then when it tries.
    ...[`tsc_early_khz=${megahertz}000`, "lpj=4000000"],
    "mitigations=off",
  ];
  return [
    ...["-machine", "microvm", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"],
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"],
    ...["-kernel", kernel.image, "-initrd", initramfs, "-append", commandLine.join(" ")],
    ...["-drive", `id=disk,file=${disk},format=raw,if=none,snapshot=on`, "-device", "virtio-blk-device,drive=disk"],
  ];
}
