import { readFileSync } from "node:fs";
import {
  createFileRegistry,
  type DescField,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  getExtension,
  hasExtension,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

/** MessageRules of schema/v1/options.proto. */
export interface MessageRules {
  readonly kind?: { readonly group: string; readonly version: string; readonly kind: string };
  readonly scalar: number;
  readonly atomic: boolean;
}

/** FieldRules of schema/v1/options.proto. */
export interface FieldRules {
  readonly required: boolean;
  readonly nonEmpty: boolean;
  /** JSON text, or empty. */
  readonly default: string;
  readonly zeroIsUnset: boolean;
  readonly values: readonly string[];
  readonly list: number;
  readonly keys: readonly string[];
  readonly mergeKey: string;
  readonly patch: readonly number[];
  readonly atomic: boolean;
}

/** What the protos say: messages, and the rules that stand at them. */
export interface Descriptors {
  /** All messages of the API, those of map entries left out, sorted by name. */
  readonly messages: readonly DescMessage[];
  rulesOfMessage(message: DescMessage): MessageRules | undefined;
  rulesOfField(field: DescField): FieldRules | undefined;
}

/** Reads the descriptors that `buf build` wrote. */
export function readDescriptors(image: string): Descriptors {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(image)));
  const messages = [...registry.files]
    .filter((file) => file.name.startsWith("tessera/api/"))
    .flatMap((file) => file.messages)
    .sort((a, b) => (a.typeName < b.typeName ? -1 : 1));
  const objectRules = extension(registry, "tessera.schema.v1.object");
  const fieldRules = extension(registry, "tessera.schema.v1.field");
  return {
    messages,
    rulesOfMessage: (message) => {
      const options = message.proto.options;
      return options !== undefined && hasExtension(options, objectRules)
        ? (getExtension(options, objectRules) as unknown as MessageRules)
        : undefined;
    },
    rulesOfField: (field) => {
      const options = field.proto.options;
      return options !== undefined && hasExtension(options, fieldRules)
        ? (getExtension(options, fieldRules) as unknown as FieldRules)
        : undefined;
    },
  };
}

function extension(registry: FileRegistry, name: string) {
  const found = registry.getExtension(name);
  if (found === undefined) {
    throw new Error(`the protos declare no option ${name}`);
  }
  return found;
}
