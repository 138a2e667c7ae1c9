import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { StatusError } from "../base/status.ts";
import { jsonErrorPosition } from "./json-position.ts";

/** Deepest nesting of a body: far above any request of the contract, far below what a recursive reader can take. */
export const JSON_DEPTH_MAX = 64;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Throws UNSUPPORTED_CONTENT_TYPE unless the body says that it is JSON, or says nothing. */
export function checkContentType(header: string | undefined): void {
  const type = header?.split(";", 1)[0]?.trim().toLowerCase();
  if (type === undefined || type === "application/json" || /^application\/[a-z0-9.-]+\+json$/.test(type))
    return;
  throw new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "UNSUPPORTED_CONTENT_TYPE",
    message: "The body must be JSON: send `Content-Type: application/json`.",
  });
}

/** A body as a JSON object; an empty one is an empty object. Errors tell the position and never the content. */
export function parseBody(body: Uint8Array): JsonObject {
  if (body.byteLength === 0) return {};
  const value = parseJson(decode(body));
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformed("The body must be a JSON object, in braces.", 0);
  }
  checkShape(value);
  return value;
}

function decode(body: Uint8Array): string {
  try {
    return utf8.decode(body);
  } catch {
    throw malformed("The body is not valid UTF-8.", undefined);
  }
}

function parseJson(text: string): JsonValue {
  try {
    return JSON.parse(text);
  } catch {
    const at = jsonErrorPosition(text);
    const before = text.slice(0, at).split("\n");
    const where = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
    const what = at >= text.length ? "ends too early" : "is not valid JSON";
    throw malformed(`The body ${what} at ${where}.`, at);
  }
}

/** Bounds the depth, and refuses the one key that would not become an ordinary property. */
function checkShape(root: JsonValue): void {
  const open: { value: JsonValue; depth: number }[] = [{ value: root, depth: 1 }];
  for (let next = open.pop(); next; next = open.pop()) {
    const { value, depth } = next;
    if (typeof value !== "object" || value === null) continue;
    if (depth > JSON_DEPTH_MAX)
      throw malformed(`The body is nested deeper than ${JSON_DEPTH_MAX} levels.`, undefined);
    if (Object.hasOwn(value, "__proto__")) throw malformed("The body uses the key `__proto__`.", undefined);
    for (const inner of Object.values(value)) open.push({ value: inner, depth: depth + 1 });
  }
}

function malformed(message: string, position: number | undefined): StatusError {
  return new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "MALFORMED_JSON",
    message,
    ...(position === undefined ? {} : { metadata: { position: String(position) } }),
  });
}
