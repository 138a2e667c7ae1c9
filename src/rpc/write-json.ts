import {
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Message,
  toJson,
} from "@bufbuild/protobuf";
import { isWellKnown } from "./fields.ts";

/**
 * A message as grpc-gateway writes it: lowerCamelCase names in the order of the contract, enums by name, 64-bit integers as
 * strings, zero values present, unset messages null; unset members of a oneof and unset optional scalars are left out.
 */
export function writeJson(desc: DescMessage, message: Message): JsonValue {
  return complete(desc, toJson(desc, message, { alwaysEmitImplicit: true }));
}

function complete(desc: DescMessage, json: JsonValue): JsonValue {
  if (isWellKnown(desc) || !isObject(json)) return json;
  const whole: JsonObject = {};
  for (const field of desc.fields) {
    const value = json[field.jsonName];
    if (value !== undefined)
      whole[field.jsonName] = field.message ? completeField(field, field.message, value) : value;
    else if (field.fieldKind === "message" && !field.oneof) whole[field.jsonName] = null;
  }
  return whole;
}

function completeField(field: DescField, message: DescMessage, value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map((item) => complete(message, item));
  if (field.fieldKind === "map" && isObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, complete(message, item)]));
  }
  return complete(message, value);
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
