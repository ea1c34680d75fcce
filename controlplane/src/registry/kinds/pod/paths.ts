/** A path below a folder: not absolute, and never up. Returns what is expected. */
export function checkRelativePath(path: string): string | undefined {
  if (path.startsWith("/")) return "must be a relative path";
  if (path.split("/").includes("..")) return "must not contain '..'";
  return undefined;
}

/** The name of a file that is projected into a volume. */
export function checkProjectedPath(path: string): string | undefined {
  const fault = checkRelativePath(path);
  if (fault !== undefined) return fault;
  return path.startsWith("..") ? "must not start with '..'" : undefined;
}
