/** File operations that Node.js lacks; each never follows a symlink out of `root`. Implemented by `NativeHostFiles`. */

export interface HostFiles {
  /**
   * Writes the entries of one image layer below `root`, which must exist. Paths are resolved with openat2
   * RESOLVE_IN_ROOT; a name that climbs out or a hardlink to the outside is refused.
   */
  openLayer(root: string): LayerWriter;
  /**
   * Makes a folder and at once what is to be in it: empty files and folders with exactly these modes. Throws RuntimeError; with reason "AlreadyExists"
   * when there is something at `path`.
   */
  makeFolder(path: string, mode: number, entries: Readonly<Record<string, NewEntry>>): Promise<void>;
  /** Removes a tree without following symlinks and without crossing a mount point. Right when it never existed. */
  removeTree(path: string): Promise<void>;
  /** Lazily unmounts everything mounted at or below `path` in this mount namespace, deepest first. */
  unmountBelow(path: string): Promise<void>;
  mountTmpfs(path: string, options: { readonly sizeBytes?: number; readonly mode: number }): Promise<void>;
  /** A file system whose files are made of huge pages of this size. */
  mountHugepages(path: string, options: { readonly pageBytes: number; readonly mode: number }): Promise<void>;
}

export interface NewEntry {
  readonly type: "folder" | "file";
  readonly mode: number;
}

export interface LayerEntryAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since the epoch, may have a fraction. */
  readonly mtime: number;
  /** Raw values by full name ("security.capability"). */
  readonly xattrs: Readonly<Record<string, Uint8Array>>;
}

export interface LayerWriter {
  directory(path: string, attributes: LayerEntryAttributes): Promise<void>;
  /** Returns an open file descriptor to write the content to; `finishFile` closes it. Existing files are replaced, not written through. */
  file(path: string, attributes: LayerEntryAttributes): Promise<number>;
  /**
   * Sets again what writing the content undid, the time and file capabilities, and closes the descriptor in any case. A caller
   * that only closes the descriptor loses these two.
   */
  finishFile(path: string, fd: number, attributes: LayerEntryAttributes): Promise<void>;
  symlink(path: string, target: string, attributes: LayerEntryAttributes): Promise<void>;
  hardlink(path: string, target: string): Promise<void>;
  device(path: string, type: "char" | "block" | "fifo", major: number, minor: number, attributes: LayerEntryAttributes): Promise<void>;
  /** The entry hides `path` of lower layers: a 0:0 character device. */
  whiteout(path: string): Promise<void>;
  /** The folder hides everything of lower layers in it: trusted.overlay.opaque=y. */
  opaque(path: string): Promise<void>;
  /** Sets the times of the folders, which every entry made in them moved. To be called last. */
  finish(): Promise<void>;
}
