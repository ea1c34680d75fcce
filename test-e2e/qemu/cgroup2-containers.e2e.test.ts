/** Where cgroup v2 is all there is, containers are what they are elsewhere. */
import { containerTests } from "./guest-files.ts";
import { testInGuest } from "./guest-tests.ts";

await testInGuest("containers", containerTests);
