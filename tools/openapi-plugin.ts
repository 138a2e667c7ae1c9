/** A protoc plugin that writes openapi.json (OpenAPI 3.1) from google.api.http, the comments and the validation rules. */
import { readFileSync } from "node:fs";
import { create, createFileRegistry, type DescService, type FileRegistry } from "@bufbuild/protobuf";
import {
  type CodeGeneratorRequest,
  type CodeGeneratorResponse,
  CodeGeneratorResponse_Feature,
  CodeGeneratorResponseSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { runNodeJs } from "@bufbuild/protoplugin";
import { operationOf } from "./openapi-operation.ts";
import { commentOf, type Schema, SchemaBook } from "./openapi-schema.ts";
import { httpRules } from "./proto-options.ts";

const OPENAPI_VERSION = "3.1.0";
const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const IDEMPOTENCY_KEY: Schema = {
  name: "Idempotency-Key",
  in: "header",
  description:
    "Makes a repeat safe: for 24 hours the same key with the same request gets the first answer; with another request it is refused.",
  schema: { type: "string", minLength: 1, maxLength: 255 },
};

/** google.rpc.Status in its JSON form. */
const ERROR: Schema = {
  type: "object",
  description: "google.rpc.Status: what went wrong, for programs and for people.",
  required: ["code", "message", "details"],
  properties: {
    code: {
      type: "integer",
      format: "int32",
      description: "A google.rpc.Code: 3 is INVALID_ARGUMENT, 5 is NOT_FOUND and so on.",
    },
    message: { type: "string", description: "What is wrong and the way out, as a sentence." },
    details: {
      type: "array",
      description:
        "google.rpc.ErrorInfo {reason, domain, metadata} always; google.rpc.BadRequest {fieldViolations} when fields break rules, all of them at once; google.rpc.RetryInfo {retryDelay} where trying again helps.",
      items: {
        type: "object",
        required: ["@type"],
        properties: { "@type": { type: "string", description: "Type of the detail." } },
        additionalProperties: true,
      },
    },
  },
};

function document(registry: FileRegistry, services: readonly DescService[]): Schema {
  const book = new SchemaBook(registry);
  const paths: Record<string, Record<string, Schema>> = {};
  for (const method of services.flatMap((service) => service.methods)) {
    for (const [index, rule] of httpRules(method, registry).entries()) {
      const { path, verb, body } = operationOf(method, rule, index, { book, registry });
      paths[path] = { ...paths[path], [verb]: body };
    }
  }
  return {
    openapi: OPENAPI_VERSION,
    info: {
      title: "Slipway",
      version,
      description:
        "Deploy models and pay for them. JSON is the proto3 mapping: lowerCamelCase names, enums by name, 64-bit integers as strings, zero values present. Requests may also use the snake_case names.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{ accessToken: [] }],
    tags: services.map((service) => ({ name: service.name, description: commentOf(service) })),
    paths: Object.fromEntries(Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1))),
    components: {
      securitySchemes: {
        accessToken: { type: "http", scheme: "bearer", description: "An access token of the control plane." },
      },
      parameters: { IdempotencyKey: IDEMPOTENCY_KEY },
      responses: {
        Error: {
          description: "The request failed.",
          content: { "application/json": { schema: { $ref: "#/components/schemas/google.rpc.Status" } } },
        },
      },
      schemas: { ...book.components(), "google.rpc.Status": ERROR },
    },
  };
}

function run(request: CodeGeneratorRequest): CodeGeneratorResponse {
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: request.protoFile }));
  const services = [...registry.files]
    .filter((file) => request.fileToGenerate.includes(file.proto.name))
    .flatMap((file) => file.services);
  // Files without a service are generated apart (see buf.gen.yaml) and must not replace the document.
  const content = `${JSON.stringify(document(registry, services), null, 2)}\n`;
  return create(CodeGeneratorResponseSchema, {
    supportedFeatures: BigInt(CodeGeneratorResponse_Feature.PROTO3_OPTIONAL),
    file: services.length === 0 ? [] : [{ name: "openapi.json", content }],
  });
}

runNodeJs({ name: "slipway-openapi", version, run });
