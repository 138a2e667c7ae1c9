/** A StatusError on each wire: google.rpc.Status as JSON and as a message, and Connect's error. */
import {
  create,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Message,
  toJson,
} from "@bufbuild/protobuf";
import { anyPack, anyUnpack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import {
  type BadRequest,
  BadRequestSchema,
  type ErrorInfo,
  ErrorInfoSchema,
  type RetryInfo,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.js";
import { CODES, type Code, HTTP_STATUS, REASONS, type Reason, StatusError } from "../base/status.ts";

/** The domain of every ErrorInfo: reasons are unique within it. */
export const ERROR_DOMAIN = "slipway.dev";

/** A code's name by its number, which Connect and google.rpc share. */
const NAMES = new Map<number, Code>(
  Object.keys(CODES)
    .filter(isCode)
    .map((name) => [CODES[name], name]),
);

function isCode(name: string): name is Code {
  return name in CODES;
}

/** Reasons of the transport itself, whose HTTP status says more than their code's. */
const HTTP_STATUS_BY_REASON: Partial<Record<Reason, number>> = {
  BODY_TOO_LARGE: 413,
  UNSUPPORTED_CONTENT_TYPE: 415,
};

/** What a framework's own error is called, by its code; INTERNAL for the rest. */
const REASON_BY_CODE: Partial<Record<Code, Reason>> = {
  INVALID_ARGUMENT: "INVALID_FIELD",
  CANCELLED: "CANCELLED",
  DEADLINE_EXCEEDED: "DEADLINE",
  UNIMPLEMENTED: "NOT_IMPLEMENTED",
  RESOURCE_EXHAUSTED: "BODY_TOO_LARGE",
  UNAVAILABLE: "UNAVAILABLE",
};

export function httpStatusOf(error: StatusError): number {
  return HTTP_STATUS_BY_REASON[error.reason] ?? HTTP_STATUS[error.code];
}

/** Headers that belong to an error: when to come again, and how to authenticate. */
export function errorHeaders(error: StatusError): Record<string, string> {
  return {
    ...(error.retryAfterMs === undefined
      ? {}
      : { "retry-after": String(Math.ceil(error.retryAfterMs / 1_000)) }),
    ...(error.code === "UNAUTHENTICATED" ? { "www-authenticate": "Bearer" } : {}),
  };
}

function detailsOf(error: StatusError) {
  const { reason, metadata, violations, retryAfterMs } = error;
  const fieldViolations = violations.map(({ field, description, reason: own }) => ({
    field,
    description,
    reason: own ?? "INVALID_FIELD",
  }));
  return {
    info: create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN, metadata: { ...metadata } }),
    bad: violations.length === 0 ? undefined : create(BadRequestSchema, { fieldViolations }),
    retry:
      retryAfterMs === undefined
        ? undefined
        : create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) }),
  };
}

/** `{code, message, details}` as google.rpc.Status has it in JSON. */
export function toStatusJson(error: StatusError): JsonObject {
  const { info, bad, retry } = detailsOf(error);
  const details: JsonObject[] = [typed(ErrorInfoSchema, info)];
  if (bad) details.push(typed(BadRequestSchema, bad));
  if (retry) details.push(typed(RetryInfoSchema, retry));
  return { code: CODES[error.code], message: error.message, details };
}

const EMIT = { alwaysEmitImplicit: true } as const;

function typed(schema: DescMessage, message: Message): JsonObject {
  const json: JsonValue = toJson(schema, message, EMIT);
  const fields = typeof json === "object" && json !== null && !Array.isArray(json) ? json : {};
  return { "@type": `type.googleapis.com/${schema.typeName}`, ...fields };
}

export function toStatusMessage(error: StatusError): Status {
  const { info, bad, retry } = detailsOf(error);
  const details = [anyPack(ErrorInfoSchema, info)];
  if (bad) details.push(anyPack(BadRequestSchema, bad));
  if (retry) details.push(anyPack(RetryInfoSchema, retry));
  return create(StatusSchema, { code: CODES[error.code], message: error.message, details });
}

/** The error that toStatusMessage wrote. */
export function fromStatusMessage(status: Status): StatusError {
  const find = <T>(unpack: (any: (typeof status.details)[number]) => T | undefined): T | undefined =>
    status.details.map(unpack).find((detail) => detail !== undefined);
  return rebuilt(NAMES.get(status.code) ?? "UNKNOWN", status.message, {
    info: find((any) => anyUnpack(any, ErrorInfoSchema)),
    bad: find((any) => anyUnpack(any, BadRequestSchema)),
    retry: find((any) => anyUnpack(any, RetryInfoSchema)),
  });
}

/** For Connect, gRPC and gRPC-Web: the same code, message and details. */
export function toConnectError(error: StatusError): ConnectError {
  const { info, bad, retry } = detailsOf(error);
  return new ConnectError(
    error.message,
    CODES[error.code] || ConnectCode.Unknown,
    errorHeaders(error),
    [
      { desc: ErrorInfoSchema, value: info },
      ...(bad ? [{ desc: BadRequestSchema, value: bad }] : []),
      ...(retry ? [{ desc: RetryInfoSchema, value: retry }] : []),
    ],
    error.cause,
  );
}

/**
 * The error that toConnectError wrote. One that the framework made itself carries no ErrorInfo: it gets a reason by its code,
 * and its text is kept only where it speaks of the request.
 */
export function fromConnectError(error: ConnectError): StatusError {
  const code = NAMES.get(error.code) ?? "UNKNOWN";
  const [info] = error.findDetails(ErrorInfoSchema);
  if (info) {
    const [bad] = error.findDetails(BadRequestSchema);
    const [retry] = error.findDetails(RetryInfoSchema);
    return rebuilt(code, error.rawMessage, { info, bad, retry });
  }
  const reason = REASON_BY_CODE[code];
  if (!reason) return StatusError.from(error);
  return new StatusError({ code, reason, message: error.rawMessage, cause: error });
}

interface FoundDetails {
  readonly info: ErrorInfo | undefined;
  readonly bad: BadRequest | undefined;
  readonly retry: RetryInfo | undefined;
}

function rebuilt(code: Code, message: string, { info, bad, retry }: FoundDetails): StatusError {
  return new StatusError({
    code,
    reason: reasonOf(info?.reason),
    message,
    metadata: info?.metadata ?? {},
    violations: (bad?.fieldViolations ?? []).map(({ field, description, reason }) => ({
      field,
      description,
      reason: reasonOf(reason),
    })),
    ...(retry?.retryDelay ? { retryAfterMs: durationMs(retry.retryDelay) } : {}),
  });
}

function reasonOf(text: string | undefined): Reason {
  return REASONS.find((reason) => reason === text) ?? "INTERNAL";
}
