/** Where cgroup v2 is all there is, a node has whole pods, and the rest of the runtime is what it is elsewhere. */
import { nodeTests } from "./guest-files.ts";
import { testInGuest } from "./guest-tests.ts";

await testInGuest("node", ["test-e2e/qemu/guest/whole-pod.test.ts", ...nodeTests]);
