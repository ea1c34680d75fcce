import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";

/** A file that a person edits, perhaps several times; gone at the end of the scope, unless it is kept. */
export class EditedFile implements AsyncDisposable {
  readonly path: string;
  readonly #folder: string;
  readonly #editor: string;
  #kept = false;

  private constructor(folder: string, name: string, editor: string) {
    this.#folder = folder;
    this.path = join(folder, name);
    this.#editor = editor;
  }

  static async create(name: string, editor: string): Promise<EditedFile> {
    return new EditedFile(await mkdtemp(join(tmpdir(), "tsctl-edit-")), name, editor);
  }

  /** Shows a text in the editor and returns what became of it. Throws TesseraError "InternalError" when the editor fails. */
  async edit(text: string): Promise<string> {
    await writeFile(this.path, text, { mode: 0o600 });
    // The editor may have arguments, as in "code --wait".
    const child = spawn("sh", ["-c", `${this.#editor} "$1"`, "sh", this.path], { stdio: "inherit" });
    const code = await new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
    if (code !== 0) throw new TesseraError("InternalError", `the editor "${this.#editor}" ended with ${code}; nothing was changed`);
    return await readFile(this.path, "utf8");
  }

  /** Leaves it where it is, so that no work is lost. */
  keep(): string {
    this.#kept = true;
    return this.path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#kept) await rm(this.#folder, { recursive: true });
  }
}
