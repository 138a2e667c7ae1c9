/**
 * Reads proto3 JSON leniently where grpc-gateway does (both name cases, unknown fields left out) and tells every mistake at
 * once, by field, without quoting a value.
 */
import {
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
} from "@bufbuild/protobuf";
import type { FieldViolation } from "../base/status.ts";
import { fieldNamed, isWellKnown } from "./fields.ts";
import { isEnumValue, isZero, scalarProblem } from "./read-scalar.ts";
import { fieldReason, oneofConflict, unknownEnum } from "./violations.ts";

/** What reading found besides the message. */
export class Findings {
  readonly violations: FieldViolation[] = [];
  /** Fields that the contract does not know, as the client wrote them. */
  readonly ignored: string[] = [];
}

/** The message of what can be read; what can't is left out of it and is in the findings. */
export function readMessage(desc: DescMessage, json: JsonObject, findings: Findings): Message {
  const clean = readObject(desc, json, "", findings);
  try {
    return fromJson(desc, clean);
  } catch {
    findings.violations.push({
      field: "",
      description: "the request can't be read as JSON of this operation",
    });
    return fromJson(desc, {});
  }
}

function readObject(desc: DescMessage, json: JsonObject, prefix: string, findings: Findings): JsonObject {
  const clean: JsonObject = {};
  const seen = new Set<DescField>();
  for (const [name, value] of Object.entries(json)) {
    const field = fieldNamed(desc, name);
    if (!field) {
      findings.ignored.push(prefix + name);
      continue;
    }
    const path = prefix + field.name;
    if (seen.has(field)) findings.violations.push({ field: path, description: "must not be given twice" });
    seen.add(field);
    const read = value === null ? undefined : readField(field, value, path, findings);
    if (read !== undefined) clean[field.jsonName] = read;
  }
  settleOneofs(desc, clean, prefix, findings);
  return clean;
}

function readField(
  field: DescField,
  value: JsonValue,
  path: string,
  findings: Findings,
): JsonValue | undefined {
  if (field.fieldKind === "list") {
    if (!Array.isArray(value)) return refuse(field, path, "must be a list", findings);
    return value.flatMap((item, index) => readSingle(field, item, `${path}[${index}]`, findings) ?? []);
  }
  if (field.fieldKind === "map") {
    if (!isObject(value)) return refuse(field, path, "must be an object", findings);
    const entries = Object.entries(value).map(([key, item]) => [
      key,
      readSingle(field, item, `${path}.${key}`, findings),
    ]);
    return Object.fromEntries(entries.filter(([, item]) => item !== undefined));
  }
  return readSingle(field, value, path, findings);
}

function readSingle(
  field: DescField,
  value: JsonValue,
  path: string,
  findings: Findings,
): JsonValue | undefined {
  if (field.message) return readInner(field, field.message, value, path, findings);
  if (field.enum) {
    if (isEnumValue(field.enum, value)) return value;
    findings.violations.push(unknownEnum(path, field.enum));
    return undefined;
  }
  const problem = field.scalar === undefined ? undefined : scalarProblem(field.scalar, value);
  return problem === undefined ? value : refuse(field, path, problem, findings);
}

/** What the special JSON forms must look like, by type name. */
const FORMS: Readonly<Record<string, string>> = {
  "google.protobuf.Timestamp": "must be an RFC 3339 time, such as 2027-01-31T12:00:00Z",
  "google.protobuf.Duration": "must be seconds with an s, such as 1.5s",
  "google.protobuf.FieldMask": "must be field names with commas between them",
  "google.protobuf.Struct": "must be an object",
};

function readInner(
  field: DescField,
  message: DescMessage,
  value: JsonValue,
  path: string,
  findings: Findings,
): JsonValue | undefined {
  if (!isWellKnown(message)) {
    if (!isObject(value)) return refuse(field, path, "must be an object", findings);
    return readObject(message, value, `${path}.`, findings);
  }
  try {
    fromJson(message, value);
    return value;
  } catch {
    return refuse(field, path, FORMS[message.typeName] ?? "has a value of the wrong kind", findings);
  }
}

/**
 * Leaves at most one member of each oneof. A member with the value that it has when absent gives way to another one, since
 * clients that send every field send those too; two others are a mistake.
 */
function settleOneofs(desc: DescMessage, clean: JsonObject, prefix: string, findings: Findings): void {
  for (const oneof of desc.oneofs) {
    const set = oneof.fields.filter((field) => clean[field.jsonName] !== undefined);
    const chosen = set.filter((field) => !isZero(field.enum, clean[field.jsonName] ?? null));
    if (chosen.length > 1) findings.violations.push(oneofConflict(prefix + oneof.name, desc, oneof));
    const kept = chosen[0] ?? set[0];
    for (const field of set) if (field !== kept) delete clean[field.jsonName];
  }
}

function refuse(field: DescField, path: string, description: string, findings: Findings): undefined {
  findings.violations.push({ field: path, description, reason: fieldReason(field) });
  return undefined;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
