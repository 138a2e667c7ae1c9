/** Puts path variables and query parameters, which are text, into the JSON of a request. */
import {
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import { fieldNamed, isWellKnown } from "./fields.ts";
import type { Findings } from "./read-json.ts";

/** Most query parameters of one request: more than the contract has fields to fill. */
export const QUERY_PARAMETERS_MAX = 200;

/** Adds every query parameter; unknown ones and those that no text can fill are in the findings as ignored. */
export function addQuery(
  desc: DescMessage,
  json: JsonObject,
  query: URLSearchParams,
  findings: Findings,
): void {
  const names = [...new Set(query.keys())];
  if (names.length > QUERY_PARAMETERS_MAX) {
    findings.violations.push({
      field: "",
      description: `must not have more than ${QUERY_PARAMETERS_MAX} parameters`,
    });
    return;
  }
  for (const name of names) {
    const target = targetOf(desc, json, name.split("."));
    if (target) fill(target.field, target.holder, query.getAll(name), name, findings);
    else findings.ignored.push(name);
  }
}

/** Sets one field from the path: it wins over what body or query say of it. */
export function setFromPath(
  desc: DescMessage,
  json: JsonObject,
  fieldPath: readonly string[],
  text: string,
): void {
  const target = targetOf(desc, json, fieldPath);
  if (!target) return;
  const { field, holder } = target;
  delete holder[field.name];
  holder[field.jsonName] = field.enum ? enumText(text) : scalarText(field, text);
}

interface Target {
  readonly field: DescField;
  readonly holder: JsonObject;
}

/** The field that a dotted name names, and the JSON object that holds it, made on the way. */
function targetOf(desc: DescMessage, json: JsonObject, path: readonly string[]): Target | undefined {
  const [name = "", ...rest] = path;
  const field = fieldNamed(desc, name);
  if (!field) return undefined;
  if (rest.length === 0) return takesText(field) ? { field, holder: json } : undefined;
  if (field.fieldKind !== "message" || isWellKnown(field.message)) return undefined;
  const inner = json[field.jsonName] ?? json[field.name] ?? {};
  if (typeof inner !== "object" || Array.isArray(inner)) return undefined;
  const target = targetOf(field.message, inner, rest);
  if (target) {
    delete json[field.name];
    json[field.jsonName] = inner;
  }
  return target;
}

/** Messages whose JSON form is a text. */
const TEXT_FORMS = new Set([
  "google.protobuf.Timestamp",
  "google.protobuf.Duration",
  "google.protobuf.FieldMask",
]);

function takesText(field: DescField): boolean {
  if (field.fieldKind === "map") return false;
  return field.message === undefined || TEXT_FORMS.has(field.message.typeName);
}

function fill(
  field: DescField,
  holder: JsonObject,
  texts: readonly string[],
  name: string,
  findings: Findings,
): void {
  const convert = (text: string): JsonValue => (field.enum ? enumText(text) : scalarText(field, text));
  if (field.fieldKind === "list") {
    const before = holder[field.jsonName];
    holder[field.jsonName] = [...(Array.isArray(before) ? before : []), ...texts.map(convert)];
    return;
  }
  if (texts.length > 1 || holder[field.jsonName] !== undefined) {
    findings.violations.push({ field: name, description: "must not be given twice" });
  }
  holder[field.jsonName] = convert(texts[0] ?? "");
}

function enumText(text: string): JsonValue {
  return /^\d{1,9}$/.test(text) ? Number(text) : text;
}

function scalarText(field: DescField, text: string): JsonValue {
  if (field.scalar !== ScalarType.BOOL) return text;
  return text === "true" ? true : text === "false" ? false : text;
}
