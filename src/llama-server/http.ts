/** The HTTP surface: who may ask, what is asked, and the answer's form. What is answered is the endpoints' business. */
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { StatusError } from "../base/status.ts";
import { toApiError } from "./api-error.ts";
import { models, version } from "./endpoints/about.ts";
import { chatCompletions } from "./endpoints/chat-completions.ts";
import { completions } from "./endpoints/completions.ts";
import { embeddings } from "./endpoints/embeddings.ts";
import { responses } from "./endpoints/responses.ts";
import { detokenize, tokenize } from "./endpoints/tokens.ts";
import type { Lifetime } from "./lifetime.ts";
import { createReply, sendJson } from "./reply.ts";
import { readJson } from "./request-body.ts";
import type { Endpoint, Service } from "./service.ts";

/** A gateway keeps a few connections; more are a mistake. */
const CONNECTIONS_MAX = 1_024;
/** Longest time that a client may take to send a request's head, and all of it. */
const HEAD_MAX_MS = 10_000;
const REQUEST_MAX_MS = 60_000;
/** Longer than any gateway keeps an idle connection, so that it is the gateway who closes. */
const KEEP_ALIVE_MS = 120_000;

const ENDPOINTS: ReadonlyMap<string, ReadonlyMap<string, Endpoint>> = new Map([
  ["/v1/chat/completions", new Map([["POST", chatCompletions]])],
  ["/v1/completions", new Map([["POST", completions]])],
  ["/v1/responses", new Map([["POST", responses]])],
  ["/v1/embeddings", new Map([["POST", embeddings]])],
  ["/v1/models", new Map([["GET", models]])],
  ["/tokenize", new Map([["POST", tokenize]])],
  ["/detokenize", new Map([["POST", detokenize]])],
  ["/version", new Map([["GET", version]])],
]);

export interface HttpDeps {
  readonly service: Service;
  readonly lifetime: Lifetime;
  /** The Bearer that opens everything but GET /health. */
  readonly engineKey: string;
}

export function createHttpServer(deps: HttpDeps): Server {
  const authorised = keyCheck(deps.engineKey);
  const server = createServer((request, response) => {
    const leave = deps.lifetime.enter();
    response.on("close", leave);
    handle(deps, authorised(request), request, response).catch((error: unknown) => {
      fail(deps, response, error);
    });
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.headersTimeout = HEAD_MAX_MS;
  server.requestTimeout = REQUEST_MAX_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  return server;
}

async function handle(
  deps: HttpDeps,
  authorised: boolean,
  request: IncomingMessage,
  response: ServerResponse,
) {
  const { service, lifetime } = deps;
  const [path = ""] = (request.url ?? "").split("?");
  if (path === "/health" && request.method === "GET") return health(lifetime, authorised, response);
  if (!authorised) throw unauthorised(request);
  if (path === "/metrics" && request.method === "GET") {
    const text = await service.metrics.text();
    return void response.writeHead(200, { "content-type": service.metrics.contentType }).end(text);
  }
  const endpoint = endpointOf(path, request.method ?? "");
  if (lifetime.draining) throw draining();
  const body = request.method === "POST" ? await readJson(request) : undefined;
  const gone = new AbortController();
  response.on("close", () => gone.abort(new Error("the client went away")));
  await endpoint(service, { body, signal: gone.signal, reply: createReply(response) });
}

function health(lifetime: Lifetime, authorised: boolean, response: ServerResponse): void {
  if (authorised) lifetime.claim();
  if (lifetime.draining) throw draining();
  sendJson(response, 200, { status: "ok" });
}

/** A failure before the answer's head is an error answer; after it, one last event, and the connection ends unfinished. */
function fail(deps: HttpDeps, response: ServerResponse, thrown: unknown): void {
  if (response.destroyed || response.writableEnded) return;
  const error = toApiError(thrown);
  if (error.status >= 500 && error.status !== 503)
    deps.service.log.error({ event: "failed-request", err: thrown });
  if (response.headersSent) {
    response.write(`data: ${JSON.stringify(error.body)}\n\n`);
    response.end();
    return;
  }
  const close = deps.lifetime.draining ? { connection: "close" } : {};
  sendJson(response, error.status, error.body, { ...error.headers, ...close });
}

/** Compares hashes, so that neither the length nor a common beginning of the key shows in the time. */
function keyCheck(key: string): (request: IncomingMessage) => boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  const expected = hash(`Bearer ${key}`);
  return (request) => timingSafeEqual(hash(request.headers.authorization ?? ""), expected);
}

function endpointOf(path: string, method: string): Endpoint {
  const methods = ENDPOINTS.get(path);
  if (!methods) {
    throw new StatusError({
      code: "NOT_FOUND",
      reason: "UNKNOWN_PATH",
      message: "There is nothing at this path.",
    });
  }
  const endpoint = methods.get(method);
  if (endpoint) return endpoint;
  const message = `This path takes ${[...methods.keys()].join(", ")}.`;
  throw new StatusError({ code: "UNIMPLEMENTED", reason: "WRONG_METHOD", message });
}

function unauthorised(request: IncomingMessage): StatusError {
  const sent = request.headers.authorization !== undefined;
  return new StatusError({
    code: "UNAUTHENTICATED",
    reason: sent ? "TOKEN_INVALID" : "TOKEN_MISSING",
    message: sent ? "The key is wrong." : "A key is needed: send it as Authorization: Bearer.",
  });
}

function draining(): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "UNAVAILABLE",
    message: "This replica is stopping. Ask another one.",
    retryAfterMs: 1_000,
  });
}
