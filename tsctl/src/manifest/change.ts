import { mergeRules, schemaOf } from "@tessera/proto";
import type { ApiResource } from "../api/discovery.ts";
import { type Fields, threeWayPatch } from "./three-way-patch.ts";

/** A patch as it is sent. */
export interface Change {
  readonly body: Fields;
  readonly contentType: string;
}

/** What to send so that `current` becomes `wanted`, leaving alone what is not in `last`; undefined when there is nothing to change. */
export function changeOf(resource: ApiResource, states: { last: Fields; wanted: Fields; current: Fields }): Change | undefined {
  const schema = schemaOf({ group: resource.group, version: resource.version, kind: resource.kind });
  const rules = schema === undefined ? { ruleOf: () => replaceLists } : mergeRules(schema);
  const body = threeWayPatch(states.last, states.wanted, states.current, rules);
  if (Object.keys(body).length === 0) return undefined;
  return { body, contentType: schema === undefined ? patchTypes.merge : patchTypes.strategic };
}

export const patchTypes = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
} as const;

/** Kinds that this tsctl has no schema of: objects merge, lists are replaced, as a JSON merge patch says. */
const replaceLists = { how: "object" as const, rules: { ruleOf: () => replaceLists }, retainKeys: false };
