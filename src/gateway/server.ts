/** The gateway's door: node's own HTTP server, a handful of paths, and a body read within its bounds. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { StatusError } from "../base/status.ts";
import { type Incoming, serveCall } from "./call.ts";
import { listModels } from "./list-models.ts";
import { refused } from "./openai-error.ts";
import type { Parts } from "./parts.ts";
import type { Surface } from "./prepare.ts";
import { answerError } from "./relay.ts";

const MODEL_PATH = /^\/m\/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(\/.*)$/;

const POSTS: Readonly<Record<string, Surface>> = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "completions",
  "/v1/responses": "responses",
  "/v1/embeddings": "embeddings",
  "/tokenize": "tokenize",
  "/detokenize": "detokenize",
};

const GETS = new Set(["/v1/models", "/health", "/version"]);
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_MS = 75_000;

export function createDoor(parts: Parts): Server {
  const { limits } = parts.deps;
  const server = createServer(
    {
      maxHeaderSize: limits.headersMaxBytes,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
    },
    (request, response) => route(parts, request, response),
  );
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    const status =
      error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
    if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
  });
  return server;
}

function route(parts: Parts, request: IncomingMessage, response: ServerResponse): void {
  const requestId = parts.deps.random.uuid();
  const url = request.url ?? "/";
  const query = url.indexOf("?");
  const whole = query < 0 ? url : url.slice(0, query);
  const below = MODEL_PATH.exec(whole);
  const path = below?.[2] ?? whole;
  const modelId = below?.[1];
  if (parts.closing.aborted) {
    refuse(parts, request, response, requestId, stopping());
    return;
  }
  const surface = Object.hasOwn(POSTS, path) ? POSTS[path] : undefined;
  if (surface !== undefined && request.method === "POST") {
    readBody(parts, request, response, requestId, (body) => {
      const incoming: Incoming = {
        surface,
        modelId,
        authorization: request.headers.authorization,
        xUserId: headerOf(request, "x-user-id"),
        body,
        response,
        requestId,
      };
      void serveCall(parts, incoming);
    });
  } else if (GETS.has(path) && (request.method === "GET" || request.method === "HEAD")) {
    request.resume();
    void plain(parts, path, modelId, request, response, requestId);
  } else {
    const known = surface !== undefined || GETS.has(path);
    refuse(parts, request, response, requestId, known ? wrongMethod(surface) : unknownPath(whole));
  }
}

async function plain(
  parts: Parts,
  path: string,
  modelId: string | undefined,
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
): Promise<void> {
  try {
    if (path === "/version") json(response, { version: parts.deps.version }, requestId);
    else if (path === "/health") json(response, { status: "ok" }, requestId);
    else json(response, await listModels(parts, modelId, request.headers.authorization), requestId);
  } catch (error) {
    refuse(parts, request, response, requestId, error);
  }
}

function json(response: ServerResponse, value: unknown, requestId: string): void {
  const body = JSON.stringify(value);
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "slipway-request-id": requestId,
  });
  response.end(body);
}

function readBody(
  parts: Parts,
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
  take: (body: Buffer) => void,
): void {
  const { bodyMaxBytes } = parts.deps.limits;
  const type = request.headers["content-type"];
  if (type !== undefined && !/^application\/json\b/i.test(type)) {
    const error = refused("UNSUPPORTED_CONTENT_TYPE", "Send the body as `Content-Type: application/json`.");
    refuse(parts, request, response, requestId, error);
    return;
  }
  if (Number(request.headers["content-length"] ?? 0) > bodyMaxBytes) {
    refuse(parts, request, response, requestId, tooLarge(bodyMaxBytes));
    return;
  }
  const pieces: Buffer[] = [];
  let bytes = 0;
  request.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > bodyMaxBytes) {
      pieces.length = 0;
      refuse(parts, request, response, requestId, tooLarge(bodyMaxBytes));
    } else pieces.push(piece);
  });
  request.on("end", () => {
    if (bytes > bodyMaxBytes) return;
    take(pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces));
  });
}

/** Answers with an error and lets go of what the client still sends. */
function refuse(
  parts: Parts,
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
  thrown: unknown,
): void {
  const error = StatusError.from(thrown);
  parts.metrics.refused(error.reason);
  if (!request.complete) response.setHeader("connection", "close");
  answerError(response, error, requestId);
  request.resume();
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function stopping(): StatusError {
  return refused("UNAVAILABLE", "This gateway is stopping. Try again.", { retryAfterMs: 1_000 });
}

function wrongMethod(surface: Surface | undefined): StatusError {
  return refused("WRONG_METHOD", `Use ${surface === undefined ? "GET" : "POST"} for this path.`);
}

function unknownPath(path: string): StatusError {
  return refused("UNKNOWN_PATH", `There is nothing at ${path.slice(0, 200)}.`);
}

function tooLarge(max: number): StatusError {
  return refused("BODY_TOO_LARGE", `The body is larger than ${max} bytes.`);
}
