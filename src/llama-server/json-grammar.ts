/**
 * JSON Schema to GBNF, llama.cpp's grammar language: what the grammar lets through parses as JSON and satisfies the schema.
 * The grammar writes properties in the schema's order, optional ones left out at will. Written from the two languages' own
 * descriptions: json-schema.org draft 2020-12 and llama.cpp's grammars/README.md.
 */
import { badParam } from "./api-error.ts";

export interface JsonGrammarOptions {
  /** Where the schema stands in the request, for error messages. */
  readonly param: string;
  /** Leave out what a grammar can't hold (pattern, minimum …) instead of refusing it. */
  readonly lenient: boolean;
}

/** Grammars are evaluated at every token: bounds on what a request may ask for. */
const NODES_MAX = 1_000;
const DEPTH_MAX = 48;
/** llama.cpp unrolls repetitions and refuses long ones. */
const REPEAT_MAX = 1_000;

/** Assertions that this grammar can't express. Annotations (title, description, default …) assert nothing. */
const UNSUPPORTED = [
  "pattern",
  "minimum",
  "maximum",
  "exclusiveMinimum",
  "exclusiveMaximum",
  "multipleOf",
  "uniqueItems",
  "contains",
  "patternProperties",
  "propertyNames",
  "dependentRequired",
  "dependentSchemas",
  "minProperties",
  "maxProperties",
  "not",
  "if",
];

const FORMATS: Readonly<Record<string, string>> = {
  date: '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
  time: '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] "Z"',
  uuid: '[0-9a-f]{8} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{4} "-" [0-9a-f]{12}',
};

/** Types whose grammar is a base rule of the same name. */
const SIMPLE_TYPES: ReadonlySet<string> = new Set(["integer", "number", "boolean", "null"]);

const BASE_RULES: readonly string[] = [
  'ws ::= | " " | "\\n" [ \\t]{0,20}',
  'char ::= [^"\\\\\\x00-\\x1F\\x7F] | "\\\\" (["\\\\/bfnrt] | "u" [0-9a-fA-F]{4})',
  'string ::= "\\"" char* "\\""',
  'integer ::= "0" | "-"? [1-9] [0-9]{0,14}',
  'number ::= "-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?',
  'boolean ::= "true" | "false"',
  'null ::= "null"',
  "value ::= object | array | string | number | boolean | null",
  'pair ::= string ":" ws value',
  'object ::= "{" ws (pair ("," ws pair)*)? ws "}"',
  'array ::= "[" ws (value ("," ws value)*)? ws "]"',
];

/** The grammar of any JSON object. */
export function jsonObjectGrammar(): string {
  return ["root ::= object", ...BASE_RULES].join("\n");
}

/** The grammar of a schema. Throws INVALID_FIELD that names what of the schema can't be held. */
export function jsonSchemaGrammar(schema: unknown, options: JsonGrammarOptions): string {
  const builder = new GrammarBuilder(options);
  return builder.grammar(builder.schema(schema));
}

type Schema = Readonly<Record<string, unknown>>;

/** Collects the rules of one grammar; every method gives an expression that stands for its part. */
export class GrammarBuilder {
  readonly #rules: string[] = [];
  readonly #options: JsonGrammarOptions;
  #root: unknown;
  #references = new Map<string, string>();
  #nodes = 0;
  #names = 0;

  constructor(options: JsonGrammarOptions) {
    this.#options = options;
  }

  /** The expression of a whole schema; references in it are looked up in it. */
  schema(schema: unknown): string {
    this.#root = schema;
    this.#references = new Map();
    return this.#rule(schema, this.#options.param, 0);
  }

  /** The grammar's text. */
  grammar(root: string): string {
    return [`root ::= ${root}`, ...this.#rules, ...BASE_RULES].join("\n");
  }

  #rule(schema: unknown, path: string, depth: number): string {
    if (++this.#nodes > NODES_MAX || depth > DEPTH_MAX) throw this.#refuse(path, "the schema is too large");
    if (schema === true || schema === undefined) return "value";
    if (!isRecord(schema)) throw this.#refuse(path, "a schema must be an object");
    this.#checkSupported(schema, path);
    if (typeof schema.$ref === "string") return this.#reference(schema.$ref, path, depth);
    if ("const" in schema) return literal(JSON.stringify(schema.const));
    if (Array.isArray(schema.enum))
      return this.#choice(
        schema.enum.map((value) => literal(JSON.stringify(value))),
        path,
      );
    const { anyOf, oneOf, ...shared } = schema;
    const alternatives = anyOf ?? oneOf;
    if (Array.isArray(alternatives)) {
      const rules = alternatives.map((one, index) => {
        const at = `${path}.anyOf.${index}`;
        return this.#rule(asserts(shared) ? this.#merged(shared, [one], at) : one, at, depth + 1);
      });
      return this.#choice(rules, path);
    }
    if (Array.isArray(schema.allOf))
      return this.#rule(this.#merged(schema, schema.allOf, path), path, depth + 1);
    return this.#typed(schema, path, depth);
  }

  #typed(schema: Schema, path: string, depth: number): string {
    if (Array.isArray(schema.type)) {
      const rules = schema.type.map((type) => this.#typed({ ...schema, type }, path, depth));
      return this.#choice(rules, path);
    }
    const type = schema.type ?? impliedType(schema);
    if (type === undefined) return "value";
    if (type === "object") return this.#object(schema, path, depth);
    if (type === "array") return this.#array(schema, path, depth);
    if (type === "string") return this.#string(schema, path);
    if (typeof type === "string" && SIMPLE_TYPES.has(type)) return type;
    throw this.#refuse(path, "its type is unknown");
  }

  #string(schema: Schema, path: string): string {
    const format = typeof schema.format === "string" ? FORMATS[schema.format] : undefined;
    if (format) return this.#named(`"\\"" ${format} "\\""`);
    if (schema.minLength === undefined && schema.maxLength === undefined) return "string";
    return this.#named(`"\\"" char${this.#repeat(schema.minLength, schema.maxLength, path)} "\\""`);
  }

  #array(schema: Schema, path: string, depth: number): string {
    const prefix = Array.isArray(schema.prefixItems) ? schema.prefixItems : [];
    const fixed = prefix.map((item, index) => this.#rule(item, `${path}.prefixItems.${index}`, depth + 1));
    if (fixed.length > 0) return this.#named(`"[" ws ${fixed.join(' "," ws ')} ws "]"`);
    const item = this.#rule(schema.items, `${path}.items`, depth + 1);
    const min = this.#bound(schema.minItems, path) ?? 0;
    const max = this.#bound(schema.maxItems, path);
    if (max === 0) return this.#named('"[" ws "]"');
    const more = `("," ws ${item})${repeat(Math.max(0, min - 1), max === undefined ? undefined : max - 1)}`;
    const items = min > 0 ? `${item} ${more}` : `(${item} ${more})?`;
    return this.#named(`"[" ws ${items} ws "]"`);
  }

  /** One rule for each property and for each state (something was written before or not), from the last one backwards. */
  #object(schema: Schema, path: string, depth: number): string {
    const properties = isRecord(schema.properties) ? Object.entries(schema.properties) : [];
    const required = new Set(Array.isArray(schema.required) ? schema.required : []);
    const missing = [...required].filter((name) => !properties.some(([property]) => property === name));
    if (missing.length > 0) throw this.#refuse(path, "it requires a property that it does not describe");
    const free = schema.additionalProperties ?? properties.length === 0;
    const pair =
      free === false
        ? undefined
        : `string ":" ws ${this.#rule(free, `${path}.additionalProperties`, depth + 1)}`;
    let first = pair ? this.#named(`(${pair} ("," ws ${pair})*)?`) : '""';
    let later = pair ? this.#named(`("," ws ${pair})*`) : '""';
    for (const [name, property] of properties.reverse()) {
      const value = this.#rule(property, `${path}.properties.${name}`, depth + 1);
      const entry = `${literal(`${JSON.stringify(name)}:`)} ws ${value}`;
      const skipFirst = required.has(name) ? "" : ` | ${first}`;
      const skipLater = required.has(name) ? "" : ` | ${later}`;
      first = this.#named(`${entry} ${later}${skipFirst}`);
      later = this.#named(`"," ws ${entry} ${later}${skipLater}`);
    }
    return this.#named(`"{" ws ${first} ws "}"`);
  }

  /** A referenced schema becomes one rule that may name itself. */
  #reference(reference: string, path: string, depth: number): string {
    const known = this.#references.get(reference);
    if (known) return known;
    const target = this.#resolve(reference);
    if (target === undefined)
      throw this.#refuse(path, `it refers to "${reference.slice(0, 64)}", which is not there`);
    const name = this.#newName();
    this.#references.set(reference, name);
    const index = this.#rules.push("") - 1;
    this.#rules[index] = `${name} ::= ${this.#rule(target, path, depth + 1)}`;
    return name;
  }

  #resolve(reference: string): unknown {
    if (!reference.startsWith("#")) return undefined;
    let node: unknown = this.#root;
    for (const step of reference.slice(1).split("/").slice(1)) {
      const key = decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
      node = isRecord(node) && Object.hasOwn(node, key) ? node[key] : undefined;
    }
    return node;
  }

  #merged(schema: Schema, parts: readonly unknown[], path: string): Schema {
    const { allOf: _allOf, ...rest } = schema;
    let merged: Schema = rest;
    for (const part of parts) {
      const resolved = isRecord(part) && typeof part.$ref === "string" ? this.#resolve(part.$ref) : part;
      if (!isRecord(resolved)) throw this.#refuse(path, "a part of allOf must be an object");
      merged = {
        ...merged,
        ...resolved,
        properties: { ...asRecord(merged.properties), ...asRecord(resolved.properties) },
        required: [...asArray(merged.required), ...asArray(resolved.required)],
      };
    }
    return merged;
  }

  #checkSupported(schema: Schema, path: string): void {
    if (this.#options.lenient) return;
    const found = UNSUPPORTED.find((keyword) => keyword in schema);
    if (found) throw this.#refuse(`${path}.${found}`, `"${found}" can't be enforced; leave it out`);
  }

  #choice(rules: readonly string[], path: string): string {
    if (rules.length === 0) throw this.#refuse(path, "it allows nothing");
    return rules.length === 1 ? (rules[0] ?? "") : this.#named(rules.join(" | "));
  }

  #repeat(min: unknown, max: unknown, path: string): string {
    return repeat(this.#bound(min, path) ?? 0, this.#bound(max, path));
  }

  /** A count of the schema; beyond what a grammar can count it is refused, or left out where the request is lenient. */
  #bound(value: unknown, path: string): number | undefined {
    if (value === undefined) return undefined;
    const whole = typeof value === "number" && Number.isInteger(value) && value >= 0;
    if (whole && value <= REPEAT_MAX) return value;
    if (whole && this.#options.lenient) return undefined;
    throw this.#refuse(path, `lengths and counts must be whole numbers up to ${REPEAT_MAX}`);
  }

  #named(expression: string): string {
    const name = this.#newName();
    this.#rules.push(`${name} ::= ${expression}`);
    return name;
  }

  #newName(): string {
    return `r${this.#names++}`;
  }

  #refuse(path: string, why: string) {
    return badParam(path, `${path}: ${why}.`);
  }
}

/** True when a schema says something beside its alternatives, which then holds for each of them. */
function asserts(schema: Schema): boolean {
  return ["type", "properties", "required", "items"].some((keyword) => keyword in schema);
}

function impliedType(schema: Schema): string | undefined {
  if ("properties" in schema || "additionalProperties" in schema) return "object";
  return "items" in schema || "prefixItems" in schema ? "array" : undefined;
}

function repeat(min: number, max: number | undefined): string {
  return max === undefined ? `{${min},}` : `{${min},${Math.max(min, max)}}`;
}

/** A text as a GBNF literal. */
export function literal(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}

function isRecord(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function asRecord(value: unknown): Schema {
  return isRecord(value) ? value : {};
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
