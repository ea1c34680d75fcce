/** One way in that a registry offers (RFC 9110, section 11.6.1): `Bearer realm="https://auth.example/token",service="registry"`. */
export interface Challenge {
  /** Lower-case: "basic", "bearer". */
  readonly scheme: string;
  /** By lower-case name. */
  readonly parameters: ReadonlyMap<string, string>;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const parameterPattern = new RegExp(`^\\s*(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))\\s*(?:,|$)`);
const schemePattern = new RegExp(`^[\\s,]*(${token})(?:\\s+|(?=,)|$)`);

/** Parses a WWW-Authenticate header, of which there may be several in one. What follows something malformed is left out. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  let rest = header.slice(0, 8192);
  for (;;) {
    const scheme = schemePattern.exec(rest);
    if (scheme === null) return challenges;
    rest = rest.slice(scheme[0].length);
    const parameters = new Map<string, string>();
    for (;;) {
      const parameter = parameterPattern.exec(rest);
      if (parameter === null) break;
      rest = rest.slice(parameter[0].length);
      const [, name = "", quoted, bare = ""] = parameter;
      parameters.set(name.toLowerCase(), quoted === undefined ? bare : quoted.replace(/\\(.)/g, "$1"));
    }
    challenges.push({ scheme: (scheme[1] ?? "").toLowerCase(), parameters });
  }
}
