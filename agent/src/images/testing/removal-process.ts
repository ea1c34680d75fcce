/** Removes one image, to be killed at it: `node removal-process.ts FOLDER NATIVE_DIR NAME`. */
import { NativeHostFiles, NativeLibrary } from "@tessera/runtime-native";
import { LocalImageStore } from "../local-image-store.ts";

const [folder = "", nativeDir = "", name = ""] = process.argv.slice(2);
const files = new NativeHostFiles({ library: new NativeLibrary({ nativeDir, cgroupRoot: "tessera-removal-process" }) });
const store = await LocalImageStore.open({ folder, files, architecture: "amd64" });
process.stdout.write("begins\n");
await store.remove((await store.resolve(name))?.id ?? "", () => false);
// Not to end before it is killed.
setInterval(() => undefined, 1000);
