/** Where cgroup v2 is all there is, a cluster comes up, runs a pod for kubectl and goes down. */
import { testInGuest } from "./guest-tests.ts";

await testInGuest("cluster", ["test-e2e/qemu/guest/whole-cluster.test.ts"]);
