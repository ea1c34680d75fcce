/**
 * Replaces `$(NAME)` by its value, as Kubernetes does in command, args and env: `$$` stands for one `$`, a name that is not known stays as
 * it is written.
 */
export function expand(text: string, lookUp: (name: string) => string | undefined): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (whole, name: string | undefined) => {
    if (whole === "$$") return "$";
    return name === undefined ? whole : (lookUp(name) ?? whole);
  });
}
