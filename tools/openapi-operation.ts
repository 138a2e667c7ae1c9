import type { DescField, DescMessage, DescMethod, Registry } from "@bufbuild/protobuf";
import { listOf } from "../src/base/csv.ts";
import { parsePathTemplate } from "../src/rpc/path-template.ts";
import { printPath } from "./openapi-path.ts";
import { samplesOf } from "./openapi-samples.ts";
import { commentOf, type Schema, type SchemaBook } from "./openapi-schema.ts";
import type { HttpRule } from "./proto-options.ts";

/** One operation of the document. */
export interface Operation {
  /** The path with its variables by JSON name: `/v1/models/{modelId}:pause`. */
  readonly path: string;
  readonly verb: string;
  readonly body: Schema;
}

const VERBS = ["get", "put", "post", "delete", "patch"] as const;

/** Query fields nest no deeper than this: enough for any filter, and an end for messages that hold themselves. */
const QUERY_DEPTH_MAX = 3;

/** Builds the operation of one binding; `index` counts a method's bindings from 0. */
export function operationOf(
  method: DescMethod,
  rule: HttpRule,
  index: number,
  { book, registry }: { readonly book: SchemaBook; readonly registry: Registry },
): Operation {
  const verb = VERBS.find((candidate) => rule[candidate] !== undefined);
  const text = verb && rule[verb];
  if (!verb || !text) throw new Error(`${method}: a binding without a verb that OpenAPI has`);
  const template = parsePathTemplate(text);
  const inPath = template.variables.map(({ fieldPath }) => fieldAt(method.input, fieldPath));
  const comment = commentOf(method);
  const body = {
    operationId: `${method.parent.name}_${method.name}${index === 0 ? "" : index + 1}`,
    tags: [method.parent.name],
    summary: comment.split(/(?<=[.:])\s/)[0] ?? "",
    description: comment,
    parameters: [
      ...inPath.map((field) => ({
        name: field.jsonName,
        in: "path",
        required: true,
        schema: book.field(field),
      })),
      ...queryParameters(method, rule, inPath, book),
      ...(verb === "post" ? [{ $ref: "#/components/parameters/IdempotencyKey" }] : []),
    ],
    ...requestBody(method, rule, inPath, book),
    responses: {
      200: {
        description: commentOf(method.output),
        content: rule.responseBody
          ? DOCUMENT
          : answerContent(method, verb === "get" && listOf(method.output) !== undefined, book),
      },
      default: { $ref: "#/components/responses/Error" },
    },
    // The name that viewers look for.
    "x-code-samples": samplesOf({ method, verb, template, inPath, body: rule.body ?? "", registry }),
  };
  return { path: printPath(template, inPath), verb, body };
}

const CSV: Schema = {
  type: "string",
  description: "One line a row under a line of names. All pages, unless the request names one or its size.",
};

/** What a google.api.HttpBody may be: its bytes, in the form that the request or its Accept asks for. */
const DOCUMENT: Schema = {
  "application/pdf": { schema: { type: "string", format: "binary", description: "The document." } },
  "text/csv": { schema: { type: "string", description: "One line a row under a line of names." } },
};

function answerContent(method: DescMethod, hasCsv: boolean, book: SchemaBook): Schema {
  const streams = method.methodKind === "server_streaming";
  const schema = book.message(method.output);
  if (streams) return { "text/event-stream": { schema } };
  // The gateway of JSON answers a list in CSV, too, to whoever asks for it.
  return hasCsv
    ? { "application/json": { schema }, "text/csv": { schema: CSV } }
    : { "application/json": { schema } };
}

function requestBody(
  method: DescMethod,
  rule: HttpRule,
  inPath: readonly DescField[],
  book: SchemaBook,
): Schema {
  if (!rule.body) return {};
  const rest = method.input.fields.filter((field) => !inPath.includes(field));
  const whole = rest.length === method.input.fields.length ? book.message(method.input) : undefined;
  const schema =
    rule.body === "*" ? (whole ?? book.object(method.input, rest)) : bodyField(method, rule.body, book);
  return { requestBody: { required: rest.length > 0, content: { "application/json": { schema } } } };
}

function bodyField(method: DescMethod, name: string, book: SchemaBook): Schema {
  const message = fieldAt(method.input, [name]).message;
  if (!message) throw new Error(`${method}: the body ${name} is not a message`);
  return book.message(message);
}

function queryParameters(
  method: DescMethod,
  rule: HttpRule,
  inPath: readonly DescField[],
  book: SchemaBook,
): readonly Schema[] {
  if (rule.body === "*") return [];
  const free = method.input.fields.filter((field) => !inPath.includes(field) && field.name !== rule.body);
  return free.flatMap((field) => flatten(field, "", 1, book));
}

/** The query parameters of a field: itself, or each field of the message that it is. */
function flatten(field: DescField, prefix: string, depth: number, book: SchemaBook): readonly Schema[] {
  const name = prefix + field.jsonName;
  if (field.fieldKind === "map" || (field.fieldKind === "list" && field.listKind === "message")) return [];
  if (field.fieldKind === "message" && !field.message.typeName.startsWith("google.protobuf.")) {
    if (depth >= QUERY_DEPTH_MAX) return [];
    return field.message.fields.flatMap((inner) => flatten(inner, `${name}.`, depth + 1, book));
  }
  const { description, ...schema } = book.field(field);
  return [{ name, in: "query", ...(description ? { description } : {}), schema }];
}

function fieldAt(message: DescMessage, path: readonly string[]): DescField {
  const [name, ...rest] = path;
  const field = message.fields.find((candidate) => candidate.name === name);
  if (!field) throw new Error(`${message} has no field ${name}`);
  if (rest.length === 0) return field;
  if (!field.message) throw new Error(`${field} holds no ${rest.join(".")}`);
  return fieldAt(field.message, rest);
}
