/*
 * How resourceVersions come from etcd's revisions.
 *
 * Writers that wait are committed in one etcd transaction, so several objects can share one mod_revision. A client that loses its watch in
 * the middle of such a group resumes from the resourceVersion of the last object it got, and must then be sent the rest of the group; a
 * client that watches from the resourceVersion of a list has the whole group already. Both must be told apart, so:
 *
 *   an object changed at etcd revision R has resourceVersion 2R        "this object's state; of its group, who knows"
 *   a list, a bookmark, the store at revision R has            2R + 1  "everything up to and including R"
 *
 * Numbers stay ordered as clients may expect, each state of a key still has exactly one version, and no state is kept beside etcd's own.
 */

/** The resourceVersion of an object whose key was last changed at etcd's `modRevision`. */
export function objectVersion(modRevision: number): number {
  return modRevision * 2;
}

/** The resourceVersion of everything up to and including etcd's `revision`. */
export function storeVersion(revision: number): number {
  return revision * 2 + 1;
}

/** The etcd revision that a resourceVersion of either sort speaks of. */
export function etcdRevision(version: number): number {
  return Math.floor(version / 2);
}

/** The mod_revision to compare with; -1, which no key has, for versions that belong to no single object. */
export function comparableRevision(version: number): number {
  return version > 0 && version % 2 === 0 ? version / 2 : -1;
}

/** True for resourceVersions of single objects. */
export function isObjectVersion(version: number): boolean {
  return version % 2 === 0;
}
