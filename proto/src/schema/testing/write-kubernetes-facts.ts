/**
 * Prints the facts of the objects that the protos describe, from OpenAPI v3 documents of a Kubernetes API server
 * (kubectl get --raw /openapi/v3/api/v1). The output is kubernetes-facts.json, which kubernetes-facts.test.ts compares with.
 *
 *     node write-kubernetes-facts.ts api-v1.json coordination-v1.json ... > kubernetes-facts.json
 */
import { readFileSync } from "node:fs";
import { builtinKinds } from "../catalog.ts";
import { type FieldFacts, factsOf } from "./field-facts.ts";
import { reachableObjects } from "./reachable-objects.ts";

const theirs: FieldFacts = Object.assign({}, ...process.argv.slice(2).map((path) => factsOf(JSON.parse(readFileSync(path, "utf8")))));
const wanted = [...reachableObjects(builtinKinds.kinds)].filter((name) => theirs[name] !== undefined).sort();
console.log(JSON.stringify(Object.fromEntries(wanted.map((name) => [name, theirs[name]])), undefined, 1));
