/** Syntax of the names that Kubernetes objects may have. Each check returns what is expected, or undefined when the text is right. */

const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const qualified = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;

export function checkDnsLabel(text: string): string | undefined {
  if (text.length > 63) return "must be no more than 63 characters";
  if (label.test(text)) return undefined;
  return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name', or '123-abc')";
}

export function checkDnsSubdomain(text: string): string | undefined {
  if (text.length > 253) return "must be no more than 253 characters";
  if (subdomain.test(text)) return undefined;
  return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')";
}

/** Keys of labels and annotations, names of finalizers and taints: "app", "example.com/app". */
export function checkQualifiedName(text: string): string | undefined {
  const parts = text.split("/");
  const name = parts.length === 1 ? parts[0] : parts.length === 2 ? parts[1] : undefined;
  const expected =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
  if (name === undefined) return `a qualified name ${expected}`;
  if (parts.length === 2) {
    if (parts[0] === "") return "prefix part must be non-empty";
    const fault = checkDnsSubdomain(parts[0] ?? "");
    if (fault !== undefined) return `prefix part ${fault}`;
  }
  if (name === "") return "name part must be non-empty";
  if (name.length > 63) return "name part must be no more than 63 characters";
  return qualified.test(name) ? undefined : `name part ${expected}`;
}

export function checkLabelValue(text: string): string | undefined {
  if (text === "") return undefined;
  if (text.length > 63) return "must be no more than 63 characters";
  if (qualified.test(text)) return undefined;
  return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue', or 'my_value', or '12345')";
}

/** Keys of ConfigMaps and Secrets, which become file names. */
export function checkConfigKey(text: string): string | undefined {
  if (text.length > 253) return "must be no more than 253 characters";
  if (text === "." || text === ".." || text.startsWith("..")) return "must not be '.' or start with '..'";
  if (/^[-._a-zA-Z0-9]+$/.test(text)) return undefined;
  return "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name', or 'KEY_NAME', or 'key-name')";
}

/** Environment variables: any printable ASCII but '='. */
export function checkEnvName(text: string): string | undefined {
  if (/^[ -<>-~]+$/.test(text)) return undefined;
  return "a valid environment variable name must consist only of printable ASCII characters other than '='";
}

/** Names of container ports: at most 15 characters, with a letter. */
export function checkPortName(text: string): string | undefined {
  if (text.length > 15) return "must be no more than 15 characters";
  if (!/^[-a-z0-9]+$/.test(text)) return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
  if (text.includes("--")) return "must not contain consecutive hyphens";
  if (!/[a-z]/.test(text)) return "must contain at least one letter (a-z)";
  if (text.startsWith("-") || text.endsWith("-")) return "must not begin or end with a hyphen";
  return undefined;
}
