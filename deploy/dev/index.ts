export { clusterKubeconfig, mergeKubeconfig, noSuchCluster } from "./access.ts";
export { type Cluster, ClusterFolder, contextName } from "./cluster-file.ts";
export { type DoctorOptions, findLeaks, type Leak } from "./doctor.ts";
export { type DownOptions, downCluster } from "./down.ts";
export { type DevSettings, type Progress, silentProgress } from "./settings.ts";
export { type ClusterStatus, clusterStatus, listClusters, type PartStatus } from "./status.ts";
export { type UpOptions, upCluster } from "./up.ts";
