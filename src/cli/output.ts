import { type DescMessage, type JsonValue, type MessageShape, toJson } from "@bufbuild/protobuf";
import { exitStatusOf } from "./exit-codes.ts";
import type { Failure } from "./failure.ts";
import type { CliIo } from "./io.ts";
import { nextStep } from "./next-steps.ts";
import { plain } from "./plain.ts";
import { facts } from "./table.ts";

export type OutputFormat = "text" | "json";

/** Where results go. Text is for people, JSON is what the REST API answers. */
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
  return {
    format,
    message: (schema, message, asText) => write(() => jsonOf(schema, message), asText, 2),
    value: (json, asText) => write(() => json, asText, 2),
    line: (schema, message, asText) => write(() => jsonOf(schema, message), asText, 0),
  };
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
