/** The operations of the OpenAPI document, as the fuzzing needs them. */
import { readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
}

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly schema: Schema;
}

interface Media {
  readonly schema: Schema;
}

interface Described {
  readonly operationId: string;
  readonly parameters?: readonly (Parameter & { readonly $ref?: string })[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, Media>> }>>;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly parameters: Readonly<Record<string, Parameter>>;
  };
}

export interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly Parameter[];
  readonly body: Schema | undefined;
  /** Answers with a stream of events, not with one JSON value. */
  readonly streams: boolean;
  /** Checks the body of a success. */
  readonly success: ValidateFunction;
}

const DOCUMENT = new URL("../../../gen/openapi.json", import.meta.url);
const document = JSON.parse(readFileSync(DOCUMENT, "utf8")) as Document; // our own file
const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
ajv.addSchema({ ...document, $id: "openapi" });

/** A `$ref` inside the document, followed. */
export function resolved(schema: Schema): Schema {
  const name = schema.$ref?.split("/").at(-1);
  return name === undefined ? schema : (document.components.schemas[name] ?? {});
}

const checkOf = (schema: Schema | undefined): ValidateFunction => {
  const pointer = schema?.$ref;
  return ajv.compile(pointer === undefined ? (schema ?? {}) : { $ref: `openapi${pointer}` });
};

/** Checks the body of any error. */
export const isError = checkOf({ $ref: "#/components/schemas/google.rpc.Status" });

export const OPERATIONS: readonly Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) => operation(path, method, described)),
);

function operation(path: string, method: string, described: Described): Operation {
  const parameters = (described.parameters ?? []).map((parameter) => {
    const name = parameter.$ref?.split("/").at(-1);
    const known = name === undefined ? parameter : document.components.parameters[name];
    if (!known) throw new Error(`no parameter ${name}`);
    return known;
  });
  const content = described.responses["200"]?.content ?? {};
  const json = content["application/json"];
  return {
    id: described.operationId,
    method: method.toUpperCase(),
    path,
    parameters,
    body: described.requestBody?.content["application/json"]?.schema,
    streams: json === undefined,
    success: checkOf((json ?? content["text/event-stream"])?.schema),
  };
}
