/** The annotation of a pod that asks for an init in its containers. Not a label: nobody selects by it. */
export const initAnnotation = "tessera.dev/init";

/** Which containers of a pod run their command below an init: all, none, or those with these names. */
export type InitChoice = "all" | "none" | readonly string[];

/** Reads the annotation's value: "true", "false", or names of containers with commas between them. No annotation is "false". */
export function parseInitAnnotation(value: string | undefined): InitChoice {
  const text = value?.trim() ?? "false";
  if (text === "true") return "all";
  if (text === "false") return "none";
  return text.split(",").map((name) => name.trim());
}
