import { constants } from "node:fs";
import type { Binding } from "./binding.ts";
import type { HostFiles, LayerEntryAttributes, LayerWriter, NewEntry } from "./host-files.ts";
import type { NativeLibrary } from "./native-library.ts";
import { RuntimeError } from "./runtime.ts";

const { S_IFDIR, S_IFREG } = constants;

/** So many entries are removed in one native call, which occupies a worker thread meanwhile: some 10 ms. */
const removedAtOnce = 2000;

/** `enum ts_layer_entry_type` of src/lib/tessera.h. */
const entryTypes = {
  directory: 1,
  file: 2,
  symlink: 3,
  hardlink: 4,
  char: 5,
  block: 6,
  fifo: 7,
  whiteout: 8,
  opaque: 9,
} as const;

/** `HostFiles` by the C library, which resolves every name inside its root and works by descriptor. */
export class NativeHostFiles implements HostFiles {
  readonly #binding: Binding;

  constructor({ library }: { readonly library: NativeLibrary }) {
    this.#binding = library.binding;
  }

  openLayer(root: string): LayerWriter {
    return new NativeLayerWriter(this.#binding, root);
  }

  async makeFolder(path: string, mode: number, entries: Readonly<Record<string, NewEntry>>): Promise<void> {
    refuseNul(path, "make folder");
    const names = Object.keys(entries);
    for (const name of names) refuseNul(name, "make folder");
    const modes = Uint32Array.from(Object.values(entries), (entry) => entry.mode | (entry.type === "folder" ? S_IFDIR : S_IFREG));
    await this.#binding.makeFolder(path, mode, [...names, null], modes);
  }

  async removeTree(path: string): Promise<void> {
    refuseNul(path, "remove tree");
    const done: [number] = [0];
    while (done[0] === 0) await this.#binding.removeTree(path, removedAtOnce, done);
  }

  async unmountBelow(path: string): Promise<void> {
    refuseNul(path, "unmount");
    await this.#binding.unmountBelow(path);
  }

  async mountTmpfs(path: string, options: { readonly sizeBytes?: number; readonly mode: number }): Promise<void> {
    refuseNul(path, "mount tmpfs");
    await this.#binding.mountTmpfs(path, options.sizeBytes ?? 0, options.mode);
  }

  async mountHugepages(path: string, options: { readonly pageBytes: number; readonly mode: number }): Promise<void> {
    refuseNul(path, "mount huge pages");
    await this.#binding.mountHugepages(path, options.pageBytes, options.mode);
  }
}

class NativeLayerWriter implements LayerWriter {
  readonly #binding: Binding;
  readonly #root: string;
  /** The last entry of a name counts, as for the kernel. */
  readonly #folders = new Map<string, LayerEntryAttributes>();

  constructor(binding: Binding, root: string) {
    refuseNul(root, "open layer");
    this.#binding = binding;
    this.#root = root;
  }

  async directory(path: string, attributes: LayerEntryAttributes): Promise<void> {
    await this.#add("directory", path, attributes);
    this.#folders.set(path, attributes);
  }

  file(path: string, attributes: LayerEntryAttributes): Promise<number> {
    return this.#add("file", path, attributes);
  }

  async finishFile(path: string, fd: number, attributes: LayerEntryAttributes): Promise<void> {
    await this.#binding.layerFinishFile(this.#entry("file", path, attributes), fd);
  }

  async symlink(path: string, target: string, attributes: LayerEntryAttributes): Promise<void> {
    await this.#add("symlink", path, attributes, target);
  }

  async hardlink(path: string, target: string): Promise<void> {
    await this.#add("hardlink", path, undefined, target);
  }

  async device(
    path: string,
    type: "char" | "block" | "fifo",
    major: number,
    minor: number,
    attributes: LayerEntryAttributes,
  ): Promise<void> {
    await this.#add(type, path, attributes, undefined, { major, minor });
  }

  async whiteout(path: string): Promise<void> {
    await this.#add("whiteout", path);
  }

  async opaque(path: string): Promise<void> {
    await this.#add("opaque", path);
  }

  async finish(): Promise<void> {
    // The order does not matter: setting a folder's time changes no other folder.
    for (const [path, attributes] of this.#folders) await this.#binding.layerFinishFolder(this.#entry("directory", path, attributes));
    this.#folders.clear();
  }

  async #add(
    type: keyof typeof entryTypes,
    path: string,
    attributes?: LayerEntryAttributes,
    target?: string,
    device?: { readonly major: number; readonly minor: number },
  ): Promise<number> {
    const fd: [number] = [-1];
    await this.#binding.layerAdd(this.#entry(type, path, attributes, target, device), fd);
    return fd[0];
  }

  #entry(
    type: keyof typeof entryTypes,
    path: string,
    attributes?: LayerEntryAttributes,
    target?: string,
    device?: { readonly major: number; readonly minor: number },
  ): object {
    refuseNul(path, "resolve layer entry");
    if (target !== undefined) refuseNul(target, "resolve layer entry");
    const xattrs = packXattrs(path, attributes?.xattrs ?? {});
    const mtime = attributes?.mtime ?? 0;
    const seconds = Math.floor(mtime);
    return {
      root: this.#root,
      path,
      target: target ?? null,
      xattrs: xattrs.length > 0 ? xattrs : null,
      mtime_seconds: seconds,
      mtime_nanoseconds: Math.floor((mtime - seconds) * 1e9),
      xattrs_size: xattrs.length,
      type: entryTypes[type],
      mode: (attributes?.mode ?? 0) & 0o7777,
      uid: attributes?.uid ?? 0,
      gid: attributes?.gid ?? 0,
      major: device?.major ?? 0,
      minor: device?.minor ?? 0,
    };
  }
}

/** Name, NUL, length in 32 bits, value: as src/lib/layer.c reads them. */
function packXattrs(path: string, xattrs: Readonly<Record<string, Uint8Array>>): Buffer {
  const parts: Uint8Array[] = [];
  for (const [name, value] of Object.entries(xattrs)) {
    refuseNul(name, "set extended attributes of layer entry");
    // With these a layer would rewrite what overlayfs shows of its neighbours.
    if (name.startsWith("trusted.overlay.") || name.startsWith("user.overlay."))
      throw new RuntimeError("InvalidArgument", `set extended attributes of layer entry: ${path} may not have ${name}`, {
        step: "set extended attributes of layer entry",
      });
    const length = Buffer.alloc(4);
    length.writeUInt32LE(value.length);
    parts.push(Buffer.from(`${name}\0`), length, value);
  }
  return Buffer.concat(parts);
}

/** C would take the name to end there. */
function refuseNul(name: string, step: string): void {
  if (name.includes("\0")) throw new RuntimeError("InvalidArgument", `${step}: ${JSON.stringify(name)} holds a NUL character`, { step });
}
