import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach } from "node:test";
import type { StatusReason } from "@tessera/proto";
import { NativeHostFiles, NativeLibrary } from "@tessera/runtime-native";
import type { LocalImage } from "../image-store.ts";
import { LocalImageStore } from "../local-image-store.ts";
import { CrookedRegistry } from "./crooked-registry.ts";
import { type BuildOptions, type BuiltImage, buildImage } from "./image-content.ts";
import { tar } from "./tar-bytes.ts";

export const nativeDir = resolve(import.meta.dirname, "../../../../dist");
const never = new AbortController().signal;

export interface CrookedStore {
  /** Of the present test. */
  readonly registry: CrookedRegistry;
  storeFolder(): string;
  openStore(): Promise<LocalImageStore>;
  /** Pulls "app:1", or another image of the registry. */
  pull(store: LocalImageStore, path?: string, signal?: AbortSignal): Promise<LocalImage>;
  /** Adds app:1 with one layer of bytes that do not compress. */
  addApp(options?: BuildOptions, contentBytes?: number): Promise<BuiltImage>;
  assertNothingKept(): void;
}

/** A registry that misbehaves on demand and an image store, both new for each test of the file. */
export function crookedRegistry(): CrookedStore {
  let folder = "";
  let registry: CrookedRegistry;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "tessera-crooked-"));
    registry = await CrookedRegistry.start();
  });
  afterEach(() => {
    registry.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const storeFolder = () => join(folder, "images");
  return {
    get registry() {
      return registry;
    },
    storeFolder,
    async openStore() {
      const library = new NativeLibrary({ nativeDir, cgroupRoot: "tessera-crooked-test" });
      return await LocalImageStore.open({ folder: storeFolder(), files: new NativeHostFiles({ library }), architecture: "amd64" });
    },
    pull: (store, path = "app:1", signal = never) => store.pull(`${registry.host}/${path}`, { signal }),
    async addApp(options = {}, contentBytes = 300_000) {
      const image = buildImage([await tar({ name: "data", content: randomBytes(contentBytes) })], options);
      registry.add("app", "1", image);
      return image;
    },
    assertNothingKept() {
      for (const name of ["staging", "layers", "blobs/sha256"]) assert.deepEqual(readdirSync(join(storeFolder(), name)), [], name);
    },
  };
}

export function refusal(reason: StatusReason, message: RegExp) {
  return (error: { reason?: string; message: string }) => {
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, message);
    return true;
  };
}
