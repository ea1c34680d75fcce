import type { NodeSelectorRequirement, NodeSelectorTerm } from "../../gen/api.ts";

/** What of a node a term can ask for. */
export interface SelectableNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** All requirements of the term hold. A term without any matches nothing, as in Kubernetes. */
export function matchesTerm(term: NodeSelectorTerm, node: SelectableNode): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  return (
    expressions.every((requirement) => holds(requirement, requirement.key ? node.labels[requirement.key] : undefined)) &&
    fields.every((requirement) => holds(requirement, requirement.key === "metadata.name" ? node.name : undefined))
  );
}

function holds(requirement: NodeSelectorRequirement, actual: string | undefined): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case "In":
      return actual !== undefined && values.includes(actual);
    case "NotIn":
      return actual === undefined || !values.includes(actual);
    case "Exists":
      return actual !== undefined;
    case "DoesNotExist":
      return actual === undefined;
    case "Gt":
      return compareIntegers(actual, values[0], (a, b) => a > b);
    case "Lt":
      return compareIntegers(actual, values[0], (a, b) => a < b);
    default:
      return false;
  }
}

function compareIntegers(actual: string | undefined, wanted: string | undefined, compare: (a: bigint, b: bigint) => boolean): boolean {
  const integer = /^[+-]?\d{1,19}$/;
  if (actual === undefined || wanted === undefined || !integer.test(actual) || !integer.test(wanted)) return false;
  return compare(BigInt(actual.replace(/^\+/, "")), BigInt(wanted.replace(/^\+/, "")));
}
