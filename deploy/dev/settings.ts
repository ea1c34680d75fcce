/** What the development clusters are told by their user. Read once by the program that uses them. */
export interface DevSettings {
  /** Folder that holds the state of all clusters, one folder each. */
  readonly home: string;
  /** Folder of the built programs: controlplane.mjs, agent.mjs, tessera-host, tessera-shim, libtessera.so. */
  readonly dist: string;
  /** The Node.js that runs them. */
  readonly node: string;
  /** The kubeconfig file that gets a context for each cluster. */
  readonly kubeconfig: string;
}

/** Told what is going on. Both texts are meant for people. */
export interface Progress {
  /** A step that takes a while begins; it ends when the next one begins or all is over. */
  step(text: string): void;
  /** Something worth knowing that is not a failure. */
  note(text: string): void;
}

export const silentProgress: Progress = { step() {}, note() {} };
