/**
 * Structural schemas: what the objects of a kind look like in JSON. Those of the built-in kinds are made from the protos at build time
 * (gen/schemas.ts, loaded by catalog.ts); the engine in this folder works on these types alone, wherever a schema came from.
 */

/** A kind's full name. */
export interface GroupVersionKind {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** A kind and what its objects look like. */
export interface KindSchema extends GroupVersionKind {
  readonly object: ObjectSchema;
}

/** An object with known fields. May refer to itself. */
export interface ObjectSchema {
  /** Full name as in OpenAPI documents: "io.k8s.api.core.v1.PodSpec". */
  readonly name: string;
  readonly description: string;
  readonly fields: ReadonlyMap<string, FieldSchema>;
  /** Server-side apply treats the object as one value. */
  readonly atomic: boolean;
}

export interface FieldSchema {
  readonly name: string;
  /** For people: what the field does, its unit and its default. */
  readonly description: string;
  readonly value: ValueSchema;
  readonly required: boolean;
  /** An empty string or list is not allowed. */
  readonly nonEmpty: boolean;
  /** The value of an absent field; undefined if it stays absent. */
  readonly default: unknown;
  /** 0 counts as absent. */
  readonly zeroIsUnset: boolean;
  /** The only strings that are allowed, in a list for each item; empty: any. */
  readonly values: readonly string[];
  /** How server-side apply merges the list. */
  readonly list: "atomic" | "set" | "map" | undefined;
  /** For "map": the fields that together tell items apart. */
  readonly keys: readonly string[];
  /** No two items may have the same keys. */
  readonly unique: boolean;
  /** How strategic merge patch treats the field. */
  readonly patch: readonly PatchStrategy[];
  /** For "merge" of a list of objects: the field that tells items apart. */
  readonly mergeKey: string | undefined;
  /** Server-side apply treats the field's object or map as one value. */
  readonly atomic: boolean;
  /** Field numbers in Kubernetes' protobuf form, from an embedded message inwards; empty if the field is not in that form. */
  readonly wire: readonly number[];
}

export type PatchStrategy = "merge" | "replace" | "retainKeys";

/** One value in JSON. */
export type ValueSchema =
  | { readonly type: ScalarType }
  | { readonly type: "list"; readonly items: ValueSchema }
  | { readonly type: "map"; readonly values: ValueSchema }
  | { readonly type: "object"; readonly object: ObjectSchema };

/** Values without parts that the schema knows of. */
export type ScalarType =
  | "string"
  | "boolean"
  | "int32"
  | "int64"
  | "double"
  /** An amount with a suffix, or a bare number. */
  | "quantity"
  /** RFC 3339, whole seconds. */
  | "time"
  /** RFC 3339, microseconds. */
  | "micro-time"
  | "int-or-string"
  /** Base64. */
  | "bytes"
  /** Any object. */
  | "any-object"
  /** Any value. */
  | "any";

/** The form in which gen/schemas.ts holds schemas: JSON, in which objects refer to each other by name. Absent means false or empty. */
export interface SchemaData {
  readonly objects: { readonly [name: string]: ObjectData };
  readonly kinds: readonly (GroupVersionKind & { readonly object: string })[];
}

export interface ObjectData {
  readonly description: string;
  readonly atomic?: boolean;
  readonly fields: { readonly [name: string]: FieldData };
}

export interface FieldData extends Partial<Omit<FieldSchema, "name" | "value">> {
  readonly description: string;
  readonly value: ValueData;
}

/** A scalar's type, or a list, a map, or the name of an object. */
export type ValueData = ScalarType | { readonly list: ValueData } | { readonly map: ValueData } | { readonly object: string };
