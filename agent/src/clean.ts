import { NativeHostFiles, NativeLibrary, NativeNodeNetwork } from "@tessera/runtime-native";
import { lockFolder } from "./lock-file.ts";
import type { CleanSettings } from "./settings.ts";

/**
 * Ends all pods of this node at once and takes away whatever agents left in the kernel and on the disk, the node's data included unless it is to
 * be kept. Refuses while an agent runs. Right from any state, half done ones too: run again after a failure.
 */
export async function cleanNode(settings: CleanSettings): Promise<void> {
  const { dataDir, runDir, cgroupRoot, nativeDir, keepData } = settings;
  const unlock = lockFolder(dataDir);
  try {
    const library = new NativeLibrary({ nativeDir, cgroupRoot });
    const files = new NativeHostFiles({ library });
    const network = new NativeNodeNetwork({ library, runDir, poolSize: 0 });
    await library.killCgroup("");
    // With the processes gone, the kernel drops network namespaces and devices; agents of earlier versions held them by mounts as well.
    for (const folder of [runDir, dataDir]) await files.unmountBelow(folder);
    await network.removeNode();
    await library.removeCgroup("");
    await library.close();
    for (const folder of keepData ? [runDir] : [runDir, dataDir]) await files.removeTree(folder);
  } finally {
    unlock();
  }
}
