import { type PodSecurityContext, type SecurityContext, TesseraError } from "@tessera/proto";
import type { ContainerUser } from "@tessera/runtime-native";
import { readImageFile } from "./image-file.ts";

const MAX_ACCOUNT_FILE_BYTES = 1 << 20;
/** The kernel's highest usable id; 2^32 - 1 means "unchanged" in its calls. */
const MAX_ID = 2 ** 32 - 2;
/** Kubernetes allows no id beyond it. */
const MAX_API_ID = 2 ** 31 - 1;

export interface ResolvedUser extends ContainerUser {
  /** Home folder by /etc/passwd, "/" when the user is not in it. */
  readonly home: string;
}

export interface UserInputs {
  readonly pod: PodSecurityContext;
  readonly container: SecurityContext;
  /** The image's USER: "", "name", "uid", "name:group" ... */
  readonly imageUser: string;
  readonly accounts: ImageAccounts;
}

/** What an image's /etc/passwd and /etc/group say. */
export interface ImageAccounts {
  readonly users: readonly Account[];
  readonly groups: readonly Group[];
}

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

export interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const MAX_CACHED_IMAGES = 64;

/** Reads accounts out of images' layers, and remembers them: layers never change. */
export class AccountReader {
  readonly #cache = new Map<string, Promise<ImageAccounts>>();

  /** Throws TesseraError "Invalid" for account files that are not plain, or too long. */
  async read(lower: readonly string[]): Promise<ImageAccounts> {
    const key = lower.join("\0");
    const known = this.#cache.get(key);
    if (known !== undefined) return await known;
    const reading = Promise.all([readAccounts(lower), readGroups(lower)]).then(([users, groups]) => ({ users, groups }));
    const oldest = this.#cache.size >= MAX_CACHED_IMAGES ? this.#cache.keys().next().value : undefined;
    if (oldest !== undefined) this.#cache.delete(oldest);
    this.#cache.set(key, reading);
    reading.catch(() => this.#cache.delete(key));
    return await reading;
  }
}

/** Who the container runs as. Throws TesseraError "Invalid" for a user that the image does not have, or that the pod forbids. */
export function resolveUser({ pod, container, imageUser, accounts }: UserInputs): ResolvedUser {
  const [wantedUser = "", wantedGroup = ""] = imageUser.split(":", 2);
  const runAsUser = container.runAsUser ?? pod.runAsUser;
  const runAsGroup = container.runAsGroup ?? pod.runAsGroup;
  for (const id of [runAsUser, runAsGroup, pod.fsGroup, ...(pod.supplementalGroups ?? [])]) checkApiId(id);
  const { users, groups } = accounts;

  const uid = runAsUser ?? resolveUid(wantedUser, users);
  const account = users.find((one) => (runAsUser === undefined && one.name === wantedUser) || one.uid === uid);
  const imageGroup = runAsUser === undefined && wantedGroup !== "" ? resolveGid(wantedGroup, groups) : undefined;
  const gid = runAsGroup ?? imageGroup ?? account?.gid ?? 0;
  if ((container.runAsNonRoot ?? pod.runAsNonRoot ?? false) && uid === 0) {
    const cause = runAsUser === undefined ? `image will run as root (USER "${imageUser}")` : "runAsUser is 0";
    throw new TesseraError("Invalid", `container has runAsNonRoot and ${cause}`);
  }
  const fromImage = pod.supplementalGroupsPolicy === "Strict" || account === undefined ? [] : groupsOf(account, groups);
  const additional = [gid, ...fromImage, ...(pod.supplementalGroups ?? []), ...(pod.fsGroup === undefined ? [] : [pod.fsGroup])];
  return { uid, gid, additionalGids: [...new Set(additional)].sort((a, b) => a - b), home: account?.home || "/" };
}

function checkApiId(id: number | undefined): void {
  if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id <= MAX_API_ID)) {
    throw new TesseraError("Invalid", `securityContext: id ${id} must be between 0 and ${MAX_API_ID}`);
  }
}

function groupsOf(account: Account, groups: readonly Group[]): number[] {
  return groups.filter((group) => group.members.includes(account.name)).map((group) => group.gid);
}

function resolveUid(wanted: string, accounts: readonly Account[]): number {
  if (wanted === "") return 0;
  const account = accounts.find((one) => one.name === wanted);
  if (account !== undefined) return account.uid;
  return parseId(wanted, `user "${wanted}" of the image is not in its /etc/passwd`);
}

function resolveGid(wanted: string, groups: readonly Group[]): number {
  const group = groups.find((one) => one.name === wanted);
  return group !== undefined ? group.gid : parseId(wanted, `group "${wanted}" of the image is not in its /etc/group`);
}

function parseId(text: string, otherwise: string): number {
  if (!/^[0-9]+$/.test(text)) throw new TesseraError("Invalid", otherwise);
  const id = Number(text);
  if (id > MAX_ID) throw new TesseraError("Invalid", `USER ${text} of the image is beyond the kernel's range of 0 to ${MAX_ID}`);
  return id;
}

async function readAccounts(lower: readonly string[]): Promise<Account[]> {
  const text = (await readImageFile(lower, "/etc/passwd", MAX_ACCOUNT_FILE_BYTES)) ?? "";
  return text.split("\n").flatMap((line) => {
    const [name, , uid, gid, , home] = line.split(":");
    const ids = [Number(uid), Number(gid)].filter(isId);
    const [uidNumber, gidNumber] = ids;
    if (!name || uid === "" || gid === "" || uidNumber === undefined || gidNumber === undefined) return [];
    return [{ name, uid: uidNumber, gid: gidNumber, home: home ?? "/" }];
  });
}

async function readGroups(lower: readonly string[]): Promise<Group[]> {
  const text = (await readImageFile(lower, "/etc/group", MAX_ACCOUNT_FILE_BYTES)) ?? "";
  return text.split("\n").flatMap((line) => {
    const [name, , gid, members] = line.split(":");
    if (!name || !gid || !isId(Number(gid))) return [];
    return [{ name, gid: Number(gid), members: (members ?? "").split(",").filter((member) => member !== "") }];
  });
}

function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id <= MAX_ID;
}
