/** The gateway's door: node's own HTTP server and a handful of paths. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { StatusError } from "../base/status.ts";
import { checkReady, serveCall } from "./call.ts";
import type { Surface } from "./client-request.ts";
import { listModels, listOneModel } from "./list-models.ts";
import { envelope, failureOf, refused } from "./openai-error.ts";
import { type CallerAddress, callerAddress, paceAddress } from "./pace.ts";
import type { Parts } from "./parts.ts";
import { readBody } from "./read-body.ts";
import { answerError } from "./relay.ts";

const MODEL_PREFIX = "/m/";
const MODEL_PATH = /^\/m\/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(\/.*)$/;

const POSTS: ReadonlyMap<string, Surface> = new Map([
  ["/v1/chat/completions", "chat"],
  ["/v1/completions", "completions"],
  ["/v1/responses", "responses"],
  ["/v1/embeddings", "embeddings"],
  ["/tokenize", "tokenize"],
  ["/detokenize", "detokenize"],
]);

/** What balancers and monitors ask. */
const UNPACED = new Set(["/health", "/version"]);
const GETS = new Set(["/v1/models", "/health", "/version"]);
/** A head comes in one or two packets; a body at the speed of a bad line. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_MS = 75_000;

/** One request at the door. */
interface Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  /** From `/m/<modelId>/…`, and the path below it. */
  readonly modelId: string | undefined;
  readonly path: string;
}

export function createDoor(parts: Parts): Server {
  const addressOf = callerAddress(parts.deps.trustedProxies ?? []);
  const server = createServer(
    {
      maxHeaderSize: parts.deps.limits.headersMaxBytes,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
    },
    (request, response) => route(parts, visitOf(parts, request, response), addressOf),
  );
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => answerUnreadable(error, socket));
  return server;
}

function visitOf(parts: Parts, request: IncomingMessage, response: ServerResponse): Visit {
  const requestId = parts.deps.random.uuid();
  const url = request.url ?? "/";
  const query = url.indexOf("?");
  const whole = query < 0 ? url : url.slice(0, query);
  const below = whole.startsWith(MODEL_PREFIX) ? MODEL_PATH.exec(whole) : null;
  return { request, response, requestId, modelId: below?.[1], path: below?.[2] ?? whole };
}

function route(parts: Parts, visit: Visit, addressOf: CallerAddress): void {
  const { request, path } = visit;
  try {
    if (!UNPACED.has(path)) paceAddress(parts.deps, addressOf(request));
  } catch (error) {
    refuse(parts, visit, error);
    return;
  }
  const surface = POSTS.get(path);
  if (parts.closing.aborted) refuse(parts, visit, stopping());
  else if (surface !== undefined && request.method === "POST") call(parts, visit, surface);
  else if (GETS.has(path) && (request.method === "GET" || request.method === "HEAD")) {
    request.resume();
    void tell(parts, visit);
  } else if (surface !== undefined || GETS.has(path)) refuse(parts, visit, wrongMethod(surface));
  else refuse(parts, visit, refused("UNKNOWN_PATH", `There is nothing at ${path.slice(0, 200)}.`));
}

function call(parts: Parts, visit: Visit, surface: Surface): void {
  const { request, response, requestId, modelId } = visit;
  const { headers } = request;
  const { authorization } = headers;
  const xUserId = headers["x-user-id"];
  readBody(
    request,
    parts.deps.limits.bodyMaxBytes,
    (body) =>
      serveCall(parts, {
        surface,
        modelId,
        authorization,
        xUserId: Array.isArray(xUserId) ? xUserId[0] : xUserId,
        body,
        response,
        requestId,
      }),
    (error) => refuse(parts, visit, error),
  );
}

/** The open GETs. */
async function tell(parts: Parts, visit: Visit): Promise<void> {
  try {
    json(visit, await told(parts, visit));
  } catch (error) {
    refuse(parts, visit, error);
  }
}

async function told(parts: Parts, { path, modelId, request }: Visit): Promise<unknown> {
  const { authorization } = request.headers;
  if (path === "/version") return { version: parts.deps.version };
  if (path === "/v1/models") {
    return modelId === undefined
      ? listModels(parts, authorization)
      : listOneModel(parts, modelId, authorization);
  }
  if (modelId !== undefined) await checkHealth(parts, modelId);
  return { status: "ok" };
}

/** Whether a model serves is told to everybody who knows its id; why not is told to its owner alone. */
async function checkHealth(parts: Parts, modelId: string): Promise<void> {
  const found = await parts.directory.model(modelId);
  if (!found) throw refused("MODEL_NOT_FOUND", "There is no such model.");
  checkReady({ route: { ...found, message: "ask for its state with its owner's token.", reason: "" } });
}

function json({ response, requestId }: Visit, value: unknown): void {
  const body = JSON.stringify(value);
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "slipway-request-id": requestId,
  });
  response.end(body);
}

/** Answers with an error and lets go of what the client still sends. */
function refuse(parts: Parts, { request, response, requestId }: Visit, thrown: unknown): void {
  const error = StatusError.from(thrown);
  if (error.cause !== undefined)
    parts.deps.log.error({ err: error.cause, requestId }, "a request failed on our side");
  parts.metrics.refused(error.reason);
  if (!request.complete && !response.headersSent) response.setHeader("connection", "close");
  answerError(response, error, requestId);
  request.resume();
}

/** What is no HTTP, or too much of it, never becomes a request: its answer is written to the bare socket. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable) return;
  const reason =
    error.code === "HPE_HEADER_OVERFLOW"
      ? refused("HEADERS_TOO_LARGE", "The request's headers are larger than this gateway takes.")
      : refused("INVALID_FIELD", "This is not a valid HTTP/1.1 request.");
  const body = envelope(reason);
  const { status } = failureOf(reason);
  const words = status === 431 ? "Request Header Fields Too Large" : "Bad Request";
  socket.end(
    `HTTP/1.1 ${status} ${words}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

function stopping(): StatusError {
  return refused("UNAVAILABLE", "This gateway is stopping. Try again.", { retryAfterMs: 1_000 });
}

function wrongMethod(surface: Surface | undefined): StatusError {
  return refused("WRONG_METHOD", `Use ${surface === undefined ? "GET" : "POST"} for this path.`);
}
