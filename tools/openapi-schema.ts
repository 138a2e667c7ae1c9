import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import { getComments } from "@bufbuild/protoplugin";
import { type FieldRules, fieldRules, isRequired } from "./proto-options.ts";

/** A JSON Schema, as OpenAPI 3.1 takes it. */
export type Schema = { readonly [keyword: string]: unknown };

/** Messages whose proto3 JSON form is special, by type name. Source: the proto3 JSON mapping. */
const WELL_KNOWN: Readonly<Record<string, Schema>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": { type: "string", pattern: "^-?[0-9]+(\\.[0-9]{1,9})?s$" },
  "google.protobuf.FieldMask": { type: "string" },
  "google.protobuf.Struct": { type: "object", additionalProperties: true },
  "google.protobuf.Value": {},
  "google.protobuf.ListValue": { type: "array", items: {} },
  "google.protobuf.Empty": { type: "object" },
};

const SCALARS: Readonly<Record<ScalarType, Schema>> = {
  [ScalarType.DOUBLE]: { type: "number", format: "double" },
  [ScalarType.FLOAT]: { type: "number", format: "float" },
  [ScalarType.INT64]: { type: "string", format: "int64" },
  [ScalarType.UINT64]: { type: "string", format: "uint64" },
  [ScalarType.INT32]: { type: "integer", format: "int32" },
  [ScalarType.FIXED64]: { type: "string", format: "uint64" },
  [ScalarType.FIXED32]: { type: "integer", format: "int64" },
  [ScalarType.BOOL]: { type: "boolean" },
  [ScalarType.STRING]: { type: "string" },
  [ScalarType.BYTES]: { type: "string", format: "byte" },
  [ScalarType.UINT32]: { type: "integer", format: "int64" },
  [ScalarType.SFIXED32]: { type: "integer", format: "int32" },
  [ScalarType.SFIXED64]: { type: "string", format: "int64" },
  [ScalarType.SINT32]: { type: "integer", format: "int32" },
  [ScalarType.SINT64]: { type: "string", format: "int64" },
};

/** Turns descriptors into schemas, and keeps every message and enum that a schema refers to. */
export class SchemaBook {
  readonly #registry: Registry;
  readonly #schemas = new Map<string, Schema>();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** All schemas that were referred to, by name. */
  components(): Schema {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** A reference to a message's schema, or its special form. */
  message(message: DescMessage): Schema {
    const special = WELL_KNOWN[message.typeName];
    if (special) return special;
    if (!this.#schemas.has(message.typeName)) {
      this.#schemas.set(message.typeName, {});
      this.#schemas.set(message.typeName, this.object(message, message.fields));
    }
    return { $ref: `#/components/schemas/${message.typeName}` };
  }

  /** An object with some of a message's fields: those of a body whose other fields are in the path. */
  object(message: DescMessage, fields: readonly DescField[]): Schema {
    const required = fields
      .filter((field) => isRequired(field, this.#registry))
      .map((field) => field.jsonName);
    return {
      type: "object",
      ...described(commentOf(message)),
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, this.field(field)])),
      ...(required.length > 0 ? { required } : {}),
    };
  }

  /** A field's schema with its comment and its rules. */
  field(field: DescField): Schema {
    const rules = fieldRules(field, this.#registry);
    const sentences = (rules.cel ?? []).flatMap(({ message }) => (message ? [`Rule: ${message}.`] : []));
    const comment = [commentOf(field), ...sentences].join("\n");
    const oneof = field.oneof
      ? `\nOnly one of: ${field.oneof.fields.map((one) => one.jsonName).join(", ")}.`
      : "";
    return { ...this.#type(field, rules), ...described(comment + oneof) };
  }

  #type(field: DescField, rules: FieldRules): Schema {
    if (field.fieldKind === "list") return this.#list(field, rules);
    if (field.fieldKind === "map") {
      return { type: "object", additionalProperties: this.#single(field, {}) };
    }
    const single = this.#single(field, rules);
    const nullable = field.fieldKind === "message" && !field.oneof && !isRequired(field, this.#registry);
    return nullable ? { anyOf: [single, { type: "null" }] } : single;
  }

  #list(field: DescField & { fieldKind: "list" }, rules: FieldRules): Schema {
    const { minItems, maxItems, items = {} } = rules.repeated ?? {};
    return {
      type: "array",
      items: this.#single(field, items),
      ...(minItems === undefined ? {} : { minItems: Number(minItems) }),
      ...(maxItems === undefined ? {} : { maxItems: Number(maxItems) }),
    };
  }

  #single(field: DescField, rules: FieldRules): Schema {
    if (field.message) return this.message(field.message);
    if (field.enum) return this.#enum(field.enum, rules.enum?.notIn ?? []);
    return { ...SCALARS[field.scalar ?? ScalarType.STRING], ...ruleKeywords(rules) };
  }

  #enum(descriptor: DescEnum, notIn: readonly number[]): Schema {
    if (notIn.length > 0) {
      const allowed = descriptor.values.filter((value) => !notIn.includes(value.number));
      return { type: "string", enum: allowed.map((value) => value.name) };
    }
    const lines = descriptor.values.map((value) => `- \`${value.name}\`: ${commentOf(value)}`);
    this.#schemas.set(descriptor.typeName, {
      type: "string",
      ...described([commentOf(descriptor), ...lines].join("\n")),
      enum: descriptor.values.map((value) => value.name),
    });
    return { $ref: `#/components/schemas/${descriptor.typeName}` };
  }
}

/** The keywords of JSON Schema that say the rules of a scalar. */
function ruleKeywords(rules: FieldRules): Schema {
  const text = rules.string ?? {};
  const number = rules.int32 ?? rules.double ?? {};
  const keywords = {
    minLength: numberOf(text.minLen),
    maxLength: numberOf(text.maxLen),
    pattern: text.pattern,
    format: text.uuid ? "uuid" : text.email ? "email" : text.uri ? "uri" : undefined,
    minimum: numberOf(number.gte),
    maximum: numberOf(number.lte),
    exclusiveMinimum: numberOf(number.gt),
    exclusiveMaximum: numberOf(number.lt),
  };
  return Object.fromEntries(Object.entries(keywords).filter(([, value]) => value !== undefined));
}

function numberOf(value: string | number | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

function described(text: string): Schema {
  return text === "" ? {} : { description: text };
}

/** The comment above a descriptor, as one text. */
export function commentOf(desc: Parameters<typeof getComments>[0]): string {
  const { leading = "", trailing = "" } = getComments(desc);
  return (leading || trailing)
    .split("\n")
    .map((line) => line.trim())
    .join("\n")
    .trim();
}
