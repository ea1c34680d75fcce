import { join } from "node:path";
import koffi, { type LibraryHandle, type TypeObject } from "koffi";
import { Limiter } from "./limiter.ts";
import { type NativeFailure, toRuntimeError } from "./native-error.ts";

/** How many native calls run at once: as many as libuv has threads. All are bounded, none waits for an event outside. */
const callsAtOnce = 4;

const text = "const char *";
const textList = "const char **";

/** The structs of src/lib/tessera.h; a test compares sizes and offsets with what the compiler made of them. */
export function declareStructs() {
  const ioLimit = koffi.struct({
    read_bps: "int64_t",
    write_bps: "int64_t",
    read_iops: "int64_t",
    write_iops: "int64_t",
    major: "uint32_t",
    minor: "uint32_t",
  });
  const hugepageLimit = koffi.struct({ page_bytes: "int64_t", limit_bytes: "int64_t" });
  const limits = koffi.struct({
    cpu_shares: "int64_t",
    cpu_quota_us: "int64_t",
    cpu_period_us: "int64_t",
    memory_bytes: "int64_t",
    swap_bytes: "int64_t",
    pids: "int64_t",
    cpuset_cpus: text,
    cpuset_mems: text,
    io: koffi.pointer(ioLimit),
    hugepages: koffi.pointer(hugepageLimit),
    io_count: "uint32_t",
    hugepage_count: "uint32_t",
    io_weight: "int32_t",
    default_devices: "int32_t",
  });
  return {
    ts_result: koffi.struct({
      error: "int32_t",
      step: koffi.array("char", 60, "String"),
      message: koffi.array("char", 448, "String"),
    }),
    ts_spawn_spec: koffi.struct({
      argv: textList,
      env: textList,
      netns: text,
      folder: text,
      record: text,
      log_path: text,
      cgroups: koffi.pointer(koffi.opaque()),
      cgroup: text,
      limits,
      program: "int32_t",
      reserved: "int32_t",
    }),
    ts_spawned: koffi.struct({ start_time: "int64_t", pid: "int32_t", connection: "int32_t", ready: "int32_t", reserved: "int32_t" }),
    ts_cgroup_limits: limits,
    ts_io_limit: ioLimit,
    ts_hugepage_limit: hugepageLimit,
    ts_cgroup_usage: koffi.struct({
      cpu_ns: "int64_t",
      memory_bytes: "int64_t",
      memory_working_set_bytes: "int64_t",
      pids: "int64_t",
      oom_kills: "int64_t",
    }),
    ts_cgroup_sample: koffi.struct({ time_ns: "int64_t", cpu_ns: "int64_t", memory_working_set_bytes: "int64_t" }),
    ts_seccomp_condition: koffi.struct({ value: "uint64_t", value_two: "uint64_t", argument: "uint32_t", comparison: "uint32_t" }),
    ts_seccomp_rule: koffi.struct({ name: text, action: "uint32_t", condition_count: "uint32_t" }),
    ts_seccomp_profile: koffi.struct({ architectures: textList, default_action: "uint32_t", rule_count: "uint32_t" }),
    ts_layer_entry: koffi.struct({
      root: text,
      path: text,
      target: text,
      xattrs: koffi.pointer("uint8_t"),
      mtime_seconds: "int64_t",
      mtime_nanoseconds: "int32_t",
      xattrs_size: "uint32_t",
      type: "int32_t",
      mode: "uint32_t",
      uid: "uint32_t",
      gid: "uint32_t",
      major: "uint32_t",
      minor: "uint32_t",
    }),
    ts_node_network: koffi.struct({
      bridge: text,
      bridge_address: text,
      vxlan: text,
      node_address: text,
      node_device: text,
      prefix: "int32_t",
      vxlan_id: "uint32_t",
      vxlan_port: "uint32_t",
    }),
    ts_peer: koffi.struct({ network: "uint32_t", prefix: "uint32_t", node_address: "uint32_t" }),
    ts_netns_assignment: koffi.struct({
      link: text,
      id: text,
      address: text,
      gateway: text,
      control: "int32_t",
      has_host_ports: "int32_t",
    }),
    ts_host_port: koffi.struct({ address: text, protocol: "uint32_t", port: "uint32_t" }),
  };
}

type OutParameter = ReturnType<typeof koffi.out>;

/** What koffi hands out for a 64 bit number: a bigint beyond what a number holds exactly. */
export type Int64 = number | bigint;

/** One exported function; the last C parameter, `struct ts_result *`, is added by the binding. */
type Call<Arguments extends unknown[]> = (...args: Arguments) => Promise<void>;

/** A pointer to something that only C looks into. */
export type Handle = bigint;

/**
 * The functions of libtessera.so, and the only place that uses koffi. Each call runs on a worker thread and rejects
 * with a RuntimeError that names the step and the operand. Arguments are copied or held until the call is over.
 */
export class Binding {
  readonly #limiter = new Limiter(callsAtOnce);
  readonly #library: LibraryHandle;
  readonly #result: TypeObject;
  /** As many as calls ran at once. */
  readonly #results: Uint8Array[] = [];

  readonly openProgram: Call<[path: string, program: [number]]>;
  readonly spawnShim: Call<[spec: object, out: { pid: number; start_time: Int64; connection: number; ready: number }]>;
  readonly signalProcess: Call<[pid: number, startTime: number, signal: number]>;
  readonly cgroupsOpen: Call<[root: string, out: [Handle | null]]>;
  readonly cgroupsClose: (cgroups: Handle) => void;
  readonly cgroupCreate: Call<[cgroups: Handle, path: string, limits: object, made: [number]]>;
  readonly cgroupDirs: Call<[cgroups: Handle, out: Uint8Array, size: number]>;
  readonly cgroupList: Call<[cgroups: Handle, path: string, out: Uint8Array, size: number]>;
  readonly cgroupProcesses: Call<[cgroups: Handle, path: string, pids: Int32Array, capacity: number, count: [number]]>;
  readonly cgroupKill: Call<[cgroups: Handle, path: string, waitMs: number, left: [number]]>;
  readonly cgroupRemove: Call<[cgroups: Handle, path: string, busy: [number]]>;
  readonly cgroupFreeze: Call<[cgroups: Handle, path: string, freeze: number, left: [number]]>;
  readonly cgroupIsFrozen: Call<[cgroups: Handle, path: string, frozen: [number]]>;
  readonly cgroupClear: Call<[cgroups: Handle, path: string, waitMs: number, busy: [number]]>;
  readonly sandboxClear: Call<
    [cgroups: Handle, shim: number, path: string, children: readonly (string | null)[], folder: string, waitMs: number, left: [number]]
  >;
  readonly cgroupsRemoveEnded: Call<[cgroups: Handle, left: [number]]>;
  readonly cgroupUsage: Call<[cgroups: Handle, path: string, out: Record<string, Int64>]>;
  /** Three numbers for each path, as in ts_cgroup_sample: a hundred objects every two seconds would cost more than the reading. */
  readonly cgroupSamples: Call<[cgroups: Handle, paths: string, out: BigInt64Array, count: number]>;
  readonly seccompDefault: Call<[capabilities: (string | null)[], out: Uint8Array, size: [number]]>;
  readonly seccompProfile: Call<
    [profile: object, rules: readonly object[], conditions: readonly object[], out: Uint8Array, size: [number]]
  >;
  readonly layerAdd: Call<[entry: object, fd: [number]]>;
  readonly layerFinishFile: Call<[entry: object, fd: number]>;
  readonly layerFinishFolder: Call<[entry: object]>;
  readonly makeFolder: Call<[path: string, mode: number, names: readonly (string | null)[], modes: Uint32Array]>;
  readonly removeTree: Call<[path: string, budget: number, done: [number]]>;
  readonly unmountBelow: Call<[path: string]>;
  readonly mountTmpfs: Call<[path: string, sizeBytes: number, mode: number]>;
  readonly mountHugepages: Call<[path: string, pageBytes: number, mode: number]>;
  readonly networkEnsureNode: Call<[spec: object, mtu: [number]]>;
  readonly networkSetPeers: Call<[vxlan: string, source: string, peers: readonly object[], count: number]>;
  readonly networkRemoveNode: Call<[bridge: string, vxlan: string]>;
  readonly networkListPodLinks: Call<[out: Uint8Array, size: number]>;
  readonly netnsPrepare: Call<[bridge: string, link: string, mtu: number, control: [number]]>;
  readonly netnsAssign: Call<[assignment: object, netns: [number]]>;
  readonly nftRun: Call<[commands: string]>;
  readonly memoryTrim: Call<[]>;
  readonly memoryReleaseProgram: Call<[]>;
  readonly nftList: Call<[command: string, out: Uint8Array, size: number]>;
  readonly hostPortHold: Call<[port: object, socket: [number]]>;
  readonly routeLoopback: Call<[device: string, allow: number]>;
  readonly conntrackForgetPod: Call<[address: string]>;
  readonly conntrackForgetPort: Call<[port: object]>;
  readonly layout: () => string;

  constructor(nativeDir: string) {
    const structs = declareStructs();
    const out = (type: TypeObject | string) => koffi.out(koffi.pointer(type));
    const handle = koffi.pointer(koffi.opaque());
    const bytes = koffi.pointer("uint8_t");
    this.#library = koffi.load(join(nativeDir, "libtessera.so"));
    this.#result = structs.ts_result;

    this.openProgram = this.#call("ts_open_program", [text, out("int32_t")]);
    this.spawnShim = this.#call("ts_spawn_shim", [koffi.pointer(structs.ts_spawn_spec), out(structs.ts_spawned)]);
    this.signalProcess = this.#call("ts_signal_process", ["int32_t", "int64_t", "int32_t"]);
    this.cgroupsOpen = this.#call("ts_cgroups_open", [text, out(handle)]);
    this.cgroupsClose = this.#library.func("ts_cgroups_close", "void", [handle]);
    this.cgroupCreate = this.#call("ts_cgroup_create", [handle, text, koffi.pointer(structs.ts_cgroup_limits), out("uint32_t")]);
    this.cgroupDirs = this.#call("ts_cgroup_dirs", [handle, bytes, "uint32_t"]);
    this.cgroupList = this.#call("ts_cgroup_list", [handle, text, bytes, "uint32_t"]);
    this.cgroupProcesses = this.#call("ts_cgroup_processes", [handle, text, koffi.pointer("int32_t"), "uint32_t", out("uint32_t")]);
    this.cgroupKill = this.#call("ts_cgroup_kill", [handle, text, "int32_t", out("uint32_t")]);
    this.cgroupRemove = this.#call("ts_cgroup_remove", [handle, text, out("uint32_t")]);
    this.cgroupFreeze = this.#call("ts_cgroup_freeze", [handle, text, "int32_t", out("uint32_t")]);
    this.cgroupIsFrozen = this.#call("ts_cgroup_is_frozen", [handle, text, out("int32_t")]);
    this.cgroupClear = this.#call("ts_cgroup_clear", [handle, text, "int32_t", out("uint32_t")]);
    this.sandboxClear = this.#call("ts_sandbox_clear", [handle, "int32_t", text, textList, text, "int32_t", out("uint32_t")]);
    this.cgroupsRemoveEnded = this.#call("ts_cgroups_remove_ended", [handle, out("uint32_t")]);
    this.cgroupUsage = this.#call("ts_cgroup_usage", [handle, text, out(structs.ts_cgroup_usage)]);
    this.cgroupSamples = this.#call("ts_cgroup_samples", [handle, text, koffi.pointer("int64_t"), "uint32_t"]);
    this.seccompDefault = this.#call("ts_seccomp_default", [textList, bytes, koffi.inout(koffi.pointer("uint32_t"))]);
    this.seccompProfile = this.#call("ts_seccomp_profile", [
      koffi.pointer(structs.ts_seccomp_profile),
      koffi.pointer(structs.ts_seccomp_rule),
      koffi.pointer(structs.ts_seccomp_condition),
      bytes,
      koffi.inout(koffi.pointer("uint32_t")),
    ]);
    this.layerAdd = this.#call("ts_layer_add", [koffi.pointer(structs.ts_layer_entry), out("int32_t")]);
    this.layerFinishFile = this.#call("ts_layer_finish_file", [koffi.pointer(structs.ts_layer_entry), "int32_t"]);
    this.layerFinishFolder = this.#call("ts_layer_finish_folder", [koffi.pointer(structs.ts_layer_entry)]);
    this.makeFolder = this.#call("ts_make_folder", [text, "uint32_t", textList, koffi.pointer("uint32_t")]);
    this.removeTree = this.#call("ts_remove_tree", [text, "uint32_t", out("int32_t")]);
    this.unmountBelow = this.#call("ts_unmount_below", [text]);
    this.mountTmpfs = this.#call("ts_mount_tmpfs", [text, "int64_t", "uint32_t"]);
    this.mountHugepages = this.#call("ts_mount_hugepages", [text, "int64_t", "uint32_t"]);
    this.networkEnsureNode = this.#call("ts_network_ensure_node", [koffi.pointer(structs.ts_node_network), out("int32_t")]);
    this.networkSetPeers = this.#call("ts_network_set_peers", [text, text, koffi.pointer(structs.ts_peer), "uint32_t"]);
    this.networkRemoveNode = this.#call("ts_network_remove_node", [text, text]);
    this.networkListPodLinks = this.#call("ts_network_list_pod_links", [bytes, "uint32_t"]);
    this.netnsPrepare = this.#call("ts_netns_prepare", [text, text, "int32_t", out("int32_t")]);
    this.netnsAssign = this.#call("ts_netns_assign", [koffi.pointer(structs.ts_netns_assignment), out("int32_t")]);
    this.nftRun = this.#call("ts_nft_run", [text]);
    this.memoryTrim = this.#call("ts_memory_trim", []);
    this.memoryReleaseProgram = this.#call("ts_memory_release_program", []);
    this.nftList = this.#call("ts_nft_list", [text, bytes, "uint32_t"]);
    this.hostPortHold = this.#call("ts_host_port_hold", [koffi.pointer(structs.ts_host_port), out("int32_t")]);
    this.routeLoopback = this.#call("ts_route_loopback", [text, "int32_t"]);
    this.conntrackForgetPod = this.#call("ts_conntrack_forget_pod", [text]);
    this.conntrackForgetPort = this.#call("ts_conntrack_forget_port", [koffi.pointer(structs.ts_host_port)]);
    this.layout = this.#library.func("ts_layout", text, []);
  }

  #call<Arguments extends unknown[]>(name: string, parameters: (TypeObject | OutParameter | string)[]): Call<Arguments> {
    // The result is bytes that are used again, and read when a call failed: making and reading a struct costs more than the rest of most calls.
    const native = this.#library.func(name, "int", [...parameters, koffi.pointer("uint8_t")]);
    return (...args) =>
      new Promise<void>((resolve, reject) => {
        this.#limiter.enter(() => {
          const result = this.#results.pop() ?? new Uint8Array(this.#result.size);
          const end = (error: unknown, returned: number) => {
            const failure = error ?? (returned < 0 ? toRuntimeError(koffi.decode(result, this.#result) as NativeFailure) : undefined);
            this.#results.push(result);
            this.#limiter.leave();
            if (failure === undefined) resolve();
            else reject(failure);
          };
          try {
            native.async(...args, result, end);
          } catch (error) {
            end(error, 0);
          }
        });
      });
  }
}
