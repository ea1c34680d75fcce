/** `node pull-process.ts STORE NATIVE_DIR IMAGE`: pulls an image and prints its id, to be killed at any moment. */
import { NativeHostFiles, NativeLibrary } from "@tessera/runtime-native";
import { LocalImageStore } from "../local-image-store.ts";

const [folder = "", nativeDir = "", name = ""] = process.argv.slice(2);
const library = new NativeLibrary({ nativeDir, cgroupRoot: "tessera-pull-process" });
const store = await LocalImageStore.open({ folder, files: new NativeHostFiles({ library }), architecture: "amd64" });
const image = await store.pull(name, { signal: new AbortController().signal });
process.stdout.write(`${image.id}\n`);
process.exit();
