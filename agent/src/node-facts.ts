export interface HugepagePool {
  readonly pageBytes: number;
  readonly count: number;
}

/** What the agent's parts need to know of the node that they run on. */
export interface NodeFacts {
  /** metadata.name of the Node object. */
  readonly name: string;
  readonly hostname: string;
  /** The node's addresses, the main one first. */
  readonly addresses: readonly string[];
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  /** What pods may be given of it, all together; 0: none may swap. */
  readonly swapBytes: number;
  /** Sizes of huge pages that the kernel has and that cgroups can limit, with how many there are of each. */
  readonly hugepages: readonly HugepagePool[];
  /** Where `localhostProfile` of a seccompProfile is looked for. */
  readonly seccompFolder: string;
  /** Most processes and threads of one pod; undefined: no limit. */
  readonly podPidsLimit: number | undefined;
  /** Kernel settings besides the safe ones that pods may have: names, or beginnings of names with a "*". */
  readonly allowedUnsafeSysctls: readonly string[];
  /** A container's log is rotated beyond so many bytes, and so many files of it are kept. */
  readonly logMaxBytes: number;
  readonly logMaxFiles: number;
}
