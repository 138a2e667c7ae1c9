/** Lists of the wire as CSV (RFC 4180): one line a row, a column for each plain field, nested ones by their path. */
import { type DescField, type DescMessage, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import { stringify } from "csv-stringify/sync";
import { formatAmount, NANOS_PER_UNIT } from "./money.ts";

/** A message nested deeper than this is one column of JSON. */
const DEPTH_MAX = 3;

interface Column {
  readonly name: string;
  cell(row: JsonValue): string;
}

/** The messages of an answer that is a list: those of its one repeated field. Undefined for any other answer. */
export function listOf(
  answer: DescMessage,
): { readonly field: DescField; readonly item: DescMessage } | undefined {
  const lists = answer.fields.flatMap((field) =>
    field.fieldKind === "list" && field.message ? [{ field, item: field.message }] : [],
  );
  return lists.length === 1 ? lists[0] : undefined;
}

/**
 * Rows in proto3 JSON as CSV, with the line of names where `header` is set. Amounts of money are decimal numbers with their
 * currency in a column of its own. Text that a spreadsheet would take for a formula gets an apostrophe before it.
 */
export function csvOf(item: DescMessage, rows: readonly JsonValue[], header: boolean): string {
  const columns = columnsOf(item, "", (row) => row, 0);
  return stringify(
    rows.map((row) => columns.map((column) => column.cell(row))),
    { header, columns: columns.map(({ name }) => name), record_delimiter: "windows" },
  );
}

type Pick = (row: JsonValue) => JsonValue | undefined;

function columnsOf(message: DescMessage, prefix: string, pick: Pick, depth: number): readonly Column[] {
  return message.fields.flatMap((field) => {
    const name = `${prefix}${field.jsonName}`;
    const value: Pick = (row) => member(pick(row), field.jsonName);
    if (field.fieldKind !== "message") {
      const isText = field.fieldKind === "scalar" && field.scalar === ScalarType.STRING;
      return [{ name, cell: (row: JsonValue) => (isText ? harmless(text(value(row))) : text(value(row))) }];
    }
    return nested(field.message, name, value, depth);
  });
}

function nested(message: DescMessage, name: string, value: Pick, depth: number): readonly Column[] {
  if (message.typeName === "google.type.Money") {
    const currency = (row: JsonValue) => text(member(value(row), "currencyCode"));
    return [
      { name, cell: (row) => (currency(row) === "" ? "" : amount(value(row))) },
      { name: `${name}Currency`, cell: currency },
    ];
  }
  const isPlain = message.typeName.startsWith("google.protobuf.") || depth >= DEPTH_MAX;
  return isPlain
    ? [{ name, cell: (row) => text(value(row)) }]
    : columnsOf(message, `${name}.`, value, depth + 1);
}

/** A member of a JSON object; undefined of anything else. */
export function member(json: JsonValue | undefined, name: string): JsonValue | undefined {
  return typeof json === "object" && json !== null && !Array.isArray(json) ? json[name] : undefined;
}

function amount(money: JsonValue | undefined): string {
  const [units, nanos] = [member(money, "units"), member(money, "nanos")];
  return formatAmount(BigInt(text(units) || "0") * NANOS_PER_UNIT + BigInt(text(nanos) || "0"));
}

function harmless(words: string): string {
  return /^[=+\-@\t\r]/.test(words) ? `'${words}` : words;
}

function text(json: JsonValue | undefined): string {
  if (json === undefined || json === null) return "";
  return typeof json === "object" ? JSON.stringify(json) : String(json);
}
