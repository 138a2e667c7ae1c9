import type { JsonObject, Message } from "@bufbuild/protobuf";
import { type FieldViolation, invalidArgument, StatusError } from "../base/status.ts";
import { checkContentType, parseBody } from "./parse-body.ts";
import { Findings, readMessage } from "./read-json.ts";
import { addQuery, setFromPath } from "./read-text.ts";
import type { Route } from "./route-table.ts";
import { violationsOf } from "./validate.ts";

/** The HTTP parts that fill a request message. */
export interface HttpParts {
  /** Without the question mark. */
  readonly query: string;
  readonly contentType: string | undefined;
  readonly body: Uint8Array;
}

export interface ReadRequest {
  readonly message: Message;
  /** Names that the contract does not know, as the client wrote them. */
  readonly ignored: readonly string[];
}

/** The request message of path, query and body. Throws MALFORMED_JSON, or INVALID_ARGUMENT with every violation at once. */
export function readRequest({ binding, values }: Route, parts: HttpParts): ReadRequest {
  const { input } = binding.method;
  const findings = new Findings();
  const query = new URLSearchParams(parts.query);
  const json = bodyJson(binding.body, parts);
  if (binding.body === "*") findings.ignored.push(...new Set(query.keys()));
  else addQuery(input, json, query, findings);
  for (const { fieldPath, value } of values) setFromPath(input, json, fieldPath, value);
  const message = readMessage(input, json, findings);
  if (findings.violations.length > 0) {
    const reported = findings.violations.map(({ field }) => field);
    const others = violationsOf(input, message).filter(
      ({ field }) => !reported.some((path) => overlaps(field, path)),
    );
    throw withoutPrefix(binding.body, invalidArgument([...findings.violations, ...others]));
  }
  return { message, ignored: findings.ignored.map((name) => cut(binding.body, name)) };
}

function bodyJson(bodyField: string, parts: HttpParts): JsonObject {
  if (bodyField === "") return {};
  if (parts.body.byteLength > 0) checkContentType(parts.contentType);
  const body = parseBody(parts.body);
  return bodyField === "*" ? body : { [bodyField]: body };
}

/** Whether one of two paths is inside the other: then the reported one says what is wrong. */
function overlaps(left: string, right: string): boolean {
  return left === right || inside(left, right) || inside(right, left);
}

function inside(inner: string, outer: string): boolean {
  return inner.startsWith(`${outer}.`) || inner.startsWith(`${outer}[`);
}

/** Names fields as the client's body does, which begins inside the field that it fills. */
export function withoutPrefix(bodyField: string, error: StatusError): StatusError {
  if (bodyField === "" || bodyField === "*" || error.violations.length === 0) return error;
  const strip = (violation: FieldViolation) => ({ ...violation, field: cut(bodyField, violation.field) });
  return new StatusError({
    code: error.code,
    reason: error.reason,
    message: cut(bodyField, error.message),
    violations: error.violations.map(strip),
    metadata: error.metadata,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
    cause: error.cause,
  });
}

function cut(bodyField: string, name: string): string {
  return name.startsWith(`${bodyField}.`) ? name.slice(bodyField.length + 1) : name;
}
