/** Fastify, set up so that bodies stay bytes and its own refusals are google.rpc.Status as well. */
import type { IncomingMessage } from "node:http";
import Fastify, { type FastifyError, type FastifyInstance } from "fastify";
import type { BaseCtx } from "../base/ctx.ts";
import { addressId } from "../base/pace.ts";
import { invalidArgument, StatusError } from "../base/status.ts";
import { REQUEST_ID_HEADER, requestIdFrom } from "./gate.ts";
import { paced } from "./pace.ts";
import type { PaceCheck } from "./ports.ts";
import { sendError } from "./rest.ts";

export interface HttpLimits {
  /** Largest request body; a deploy with a long modelSpec is a few KiB. */
  readonly bodyMaxBytes: number;
  /** Longest a client may take to send its request. */
  readonly requestTimeoutMs: number;
}

/** Who calls, seen from the connection alone. */
export interface Callers {
  /** Addresses and ranges whose word on the client's address (X-Forwarded-For) is taken. */
  readonly trustedProxies?: readonly string[] | undefined;
  readonly pace?: PaceCheck | undefined;
}

/** Asked every few seconds by whoever balances our load; costs nothing, and must not be refused. */
const UNPACED_PATHS: ReadonlySet<string> = new Set(["/healthz"]);

/** Most that is read of a body that is refused, and the longest that we read. */
const THROWN_AWAY_MAX_BYTES = 64 * 1_048_576;
const THROWN_AWAY_MAX_MS = 5_000;

/** A Fastify instance without routes. Its bodies are Buffers; every answer carries the request id. */
export function httpServer(ctx: BaseCtx, limits: HttpLimits, callers: Callers = {}): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: limits.bodyMaxBytes,
    requestTimeout: limits.requestTimeoutMs,
    forceCloseConnections: "idle",
    requestIdHeader: false,
    trustProxy: callers.trustedProxies?.length ? [...callers.trustedProxies] : false,
    genReqId: (raw) => requestIdFrom(raw.headers[REQUEST_ID_HEADER]?.toString(), ctx),
    frameworkErrors: (error, request, reply) =>
      void sendError(reply.headers(commonHeaders(request.id)), frameworkError(error, limits)),
  });
  // Bodies stay bytes: the contract's reader parses them, and tells what is wrong without quoting it.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.addHook("onRequest", async (request, reply) => {
    reply.headers(commonHeaders(request.id));
    // Before the body is read and the token looked up: what is refused here costs us next to nothing.
    if (!UNPACED_PATHS.has(request.url)) reply.headers(paced(callers.pace, "address", addressId(request.ip)));
  });
  app.setErrorHandler<FastifyError>(async (error, request, reply) => {
    const status = frameworkError(error, limits);
    if (status.reason === "BODY_TOO_LARGE") await thrownAway(request.raw);
    if (status.reason === "INTERNAL") ctx.log.error({ err: error, requestId: request.id }, "request failed");
    return sendError(reply, status);
  });
  return app;
}

/**
 * Reads on what is too large, within bounds, and keeps nothing of it: a connection that is closed on a client which still sends
 * may take our answer with it.
 */
function thrownAway(request: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let left = THROWN_AWAY_MAX_BYTES;
    const enough = setTimeout(resolve, THROWN_AWAY_MAX_MS);
    const done = () => {
      clearTimeout(enough);
      resolve();
    };
    request.once("end", done).once("close", done);
    request.on("data", (piece: Buffer) => {
      left -= piece.length;
      if (left < 0) done();
    });
    request.resume();
  });
}

/** What every answer carries: answers hold keys and balances, so nobody may keep them. */
function commonHeaders(requestId: string): Record<string, string> {
  return {
    [REQUEST_ID_HEADER]: requestId,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  };
}

/** What Fastify itself refuses. */
function frameworkError(error: FastifyError, limits: HttpLimits): StatusError {
  const { code } = error;
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") {
    return new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "BODY_TOO_LARGE",
      message: `The body is larger than ${limits.bodyMaxBytes} bytes.`,
      metadata: { bodyMaxBytes: String(limits.bodyMaxBytes) },
    });
  }
  if (code === "FST_ERR_BAD_URL") {
    return invalidArgument([{ field: "path", description: "has a broken percent-encoding" }]);
  }
  if (code?.startsWith("FST_ERR_CTP_INVALID_MEDIA")) {
    return new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "UNSUPPORTED_CONTENT_TYPE",
      message: "The body must be JSON: send `Content-Type: application/json`.",
    });
  }
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "INVALID_FIELD",
      message: "The HTTP request is not well formed.",
      cause: error,
    });
  }
  return StatusError.from(error);
}

/** Once we close, a connection that has answered its last request is closed too, instead of being kept for the next one. */
export function closeKeptAlive(app: FastifyInstance, shutdown: AbortSignal): void {
  app.server.on("request", (_request, response) => {
    response.once("close", () => {
      // The parser calls the connection idle only after this event.
      if (shutdown.aborted) setImmediate(() => app.server.closeIdleConnections());
    });
  });
}
