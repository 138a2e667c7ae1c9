import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import { csvOf, listOf } from "../base/csv.ts";
import { invalidArgument, type StatusError } from "../base/status.ts";
import { exitStatusOf } from "./exit-codes.ts";
import type { Failure } from "./failure.ts";
import type { CliIo } from "./io.ts";
import { nextStep } from "./next-steps.ts";
import { plain } from "./plain.ts";
import { facts } from "./table.ts";

export type OutputFormat = "text" | "json" | "csv";

/** Where results go. Text is for people, JSON is what the REST API answers, CSV is for lists alone: of others it throws INVALID_FIELD. */
export interface Output {
  readonly format: OutputFormat;
  /** Prints a message of the wire: as JSON, or as the text that `asText` makes of it. */
  message<D extends DescMessage>(schema: D, message: MessageShape<D>, asText: () => string): void;
  /** The same for what has no message on the wire. */
  value(json: JsonValue, asText: () => string): void;
  /** One JSON document a line, for streams. */
  line<D extends DescMessage>(schema: D, message: MessageShape<D>, asText: () => string): void;
}

export function outputOf(io: CliIo, format: OutputFormat): Output {
  const write = (json: () => JsonValue, asText: () => string, indent: number) => {
    const text = format === "json" ? `${JSON.stringify(json(), null, indent)}\n` : plain(asText());
    io.stdout.write(text);
  };
  let lines = 0;
  const csv = (item: DescMessage, rows: readonly JsonValue[]) =>
    void io.stdout.write(csvOf(item, rows, lines++ === 0));
  return {
    format,
    message(schema, message, asText) {
      if (format === "csv") return csv(...rowsOf(schema, jsonOf(schema, message)));
      write(() => jsonOf(schema, message), asText, 2);
    },
    value(json, asText) {
      if (format === "csv") throw noList();
      write(() => json, asText, 2);
    },
    line(schema, message, asText) {
      if (format === "csv") return csv(schema, [jsonOf(schema, message)]);
      write(() => jsonOf(schema, message), asText, 0);
    },
  };
}

function rowsOf(schema: DescMessage, json: JsonValue): [item: DescMessage, rows: readonly JsonValue[]] {
  const list = listOf(schema);
  if (!list || typeof json !== "object" || json === null || Array.isArray(json)) throw noList();
  const rows = json[list.field.jsonName];
  return [list.item, Array.isArray(rows) ? rows : []];
}

function noList(): StatusError {
  return invalidArgument([{ field: "output", description: "csv is for lists; take json or text here" }]);
}

/** proto3 JSON with zero values present, as REST answers. */
export function jsonOf<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue {
  return toJson(schema, message, { alwaysEmitImplicit: true });
}

/** Tells a failure on stderr; returns the exit status. */
export function tellFailure(io: CliIo, format: OutputFormat, failure: Failure): number {
  const next = nextStep(failure);
  if (format === "json") {
    const { code, reason, message, violations, metadata, requestId } = failure;
    const told = violations.map(({ field, description }) => ({ field, description }));
    const error = { code, reason, message, violations: told, metadata: { ...metadata }, requestId, next };
    io.stderr.write(`${JSON.stringify({ error }, null, 2)}\n`);
  } else {
    io.stderr.write(plain(`slipway: ${failure.message}\n${indented(failure, next)}`));
  }
  return exitStatusOf(failure.code);
}

function indented(failure: Failure, next: string): string {
  const lines: (readonly [string, string])[] = [
    ["reason", failure.reason],
    // A single violation is the message already.
    ...(failure.violations.length > 1
      ? failure.violations.map(({ field, description }) => ["field", `${field}: ${description}`] as const)
      : []),
    ...Object.entries(failure.metadata),
    ["request", failure.requestId],
    ["next", next],
  ];
  return facts(lines).replace(/^(?=.)/gm, "  ");
}
