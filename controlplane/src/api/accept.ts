import { TesseraError } from "@tessera/proto";

/** The form in which a client wants its answer. */
export type Form = "object" | "table" | "partial" | "aggregated-discovery";

export interface Representation {
  readonly form: Form;
  readonly syntax: "json" | "yaml";
  /** The version asked for with `v=`. */
  readonly version: string;
}

interface MediaRange {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
}

const plainJson: Representation = { form: "object", syntax: "json", version: "" };

/** The first form of the Accept header, by preference, that `allowed` has; throws TesseraError "NotAcceptable". */
export function negotiate(accept: string | undefined, allowed: readonly Form[]): Representation {
  if (accept === undefined || accept.trim() === "") return plainJson;
  const ranges = parseAccept(accept).filter((range) => range.quality > 0);
  for (const range of ranges.sort((one, other) => other.quality - one.quality)) {
    const representation = represent(range);
    if (representation !== undefined && allowed.includes(representation.form)) return representation;
  }
  throw new TesseraError("NotAcceptable", `only the following media types are accepted: application/json, application/yaml; not ${accept}`);
}

function represent(range: MediaRange): Representation | undefined {
  const syntax = syntaxOf(range.type);
  if (syntax === undefined) return undefined;
  const as = range.parameters.get("as");
  const group = range.parameters.get("g") ?? "";
  const version = range.parameters.get("v") ?? "";
  if (as === undefined) return { form: "object", syntax, version };
  if (as === "Table" && group === "meta.k8s.io" && ["v1", "v1beta1"].includes(version)) return { form: "table", syntax, version };
  if (/^PartialObjectMetadata(List)?$/.test(as) && group === "meta.k8s.io" && version === "v1") return { form: "partial", syntax, version };
  if (as === "APIGroupDiscoveryList" && group === "apidiscovery.k8s.io" && ["v2", "v2beta1"].includes(version)) {
    return { form: "aggregated-discovery", syntax, version };
  }
  return undefined;
}

function syntaxOf(type: string): "json" | "yaml" | undefined {
  if (type === "application/json" || type === "application/*" || type === "*/*") return "json";
  return type === "application/yaml" ? "yaml" : undefined;
}

function parseAccept(accept: string): MediaRange[] {
  return accept.split(",").map((part) => {
    const [type = "", ...pairs] = part.split(";").map((piece) => piece.trim());
    const parameters = new Map(
      pairs.map((pair) => {
        const at = pair.indexOf("=");
        return at < 0 ? ([pair, ""] as const) : ([pair.slice(0, at).trim(), pair.slice(at + 1).trim()] as const);
      }),
    );
    const quality = Number(parameters.get("q") ?? "1");
    return { type: type.toLowerCase(), parameters, quality: Number.isNaN(quality) ? 0 : quality };
  });
}
