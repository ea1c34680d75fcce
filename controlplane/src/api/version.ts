import { VERSION } from "@tessera/proto";

/** The Kubernetes version whose API this is; kubectl compares itself with it. */
export const serverVersion = {
  major: "1",
  minor: "36",
  gitVersion: `v1.36.0+tessera.${VERSION}`,
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: "",
  compiler: `node ${process.version}`,
  platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
} as const;
