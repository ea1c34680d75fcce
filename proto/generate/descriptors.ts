import { readFileSync } from "node:fs";
import {
  createFileRegistry,
  type DescField,
  type DescFile,
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
  readonly unique: boolean;
  readonly mergeKey: string;
  readonly patch: readonly number[];
  readonly atomic: boolean;
  readonly within: number;
}

/** What the protos say: messages, and the rules that stand at them. */
export interface Descriptors {
  /** All messages of the API, those of map entries left out, sorted by name. */
  readonly messages: readonly DescMessage[];
  rulesOfMessage(message: DescMessage): MessageRules | undefined;
  rulesOfField(field: DescField): FieldRules | undefined;
  /** The comment above a message or field as one line per paragraph; empty if there is none. */
  commentOf(desc: DescMessage | DescField): string;
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
  const comments = new Map<DescFile, ReadonlyMap<string, string>>();
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
    commentOf: (desc) => {
      const message = desc.kind === "field" ? desc.parent : desc;
      comments.set(message.file, comments.get(message.file) ?? commentsByPath(message.file));
      const path = [messageTypeNumber, message.file.messages.indexOf(message)];
      if (desc.kind === "field") {
        path.push(fieldNumber, message.fields.indexOf(desc));
      }
      return comments.get(message.file)?.get(path.join()) ?? "";
    },
  };
}

/** Numbers of FileDescriptorProto.message_type and DescriptorProto.field, which the paths of source locations consist of. */
const messageTypeNumber = 4;
const fieldNumber = 2;

function commentsByPath(file: DescFile): ReadonlyMap<string, string> {
  const locations = file.proto.sourceCodeInfo?.location ?? [];
  return new Map(locations.map((location) => [location.path.join(), unwrap(location.leadingComments)]));
}

function unwrap(comment: string): string {
  return comment
    .split(/\n\s*\n/)
    .map((paragraph) => paragraph.trim().replaceAll(/\s+/g, " "))
    .join("\n")
    .trim();
}

function extension(registry: FileRegistry, name: string) {
  const found = registry.getExtension(name);
  if (found === undefined) {
    throw new Error(`the protos declare no option ${name}`);
  }
  return found;
}
