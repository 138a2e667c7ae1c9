/** REST from google.api.http: finds the method, reads the request, calls it through the in-memory transport, writes the answer. */
import { Readable } from "node:stream";
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  isMessage,
  type Message,
} from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type HttpBody, HttpBodySchema } from "../../gen/google/api/httpbody_pb.js";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import { admit, type GateDeps, restCall } from "./gate.ts";
import type { HttpBinding } from "./http-rule.ts";
import { IDEMPOTENCY_HEADER } from "./idempotent.ts";
import { readRequest, withoutPrefix } from "./read-request.ts";
import type { Route, RouteTable } from "./route-table.ts";
import { writeEvents } from "./sse.ts";
import { errorHeaders, fromConnectError, httpStatusOf, toStatusJson } from "./status-wire.ts";
import { csvPieces, hasCsv, wantsCsv } from "./write-csv.ts";
import { writeJson } from "./write-json.ts";

export const IGNORED_HEADER = "slipway-ignored-fields";
/** Most names that the header tells: enough to see a mistake, small enough for any header limit. */
const IGNORED_NAMES_MAX = 20;
const IGNORED_NAME_LENGTH_MAX = 100;

export interface RestDeps extends GateDeps {
  readonly routes: RouteTable;
  readonly transport: Transport;
}

/** The handler of every path that is no other's. */
export function restHandler(deps: RestDeps) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const ctx = { ...deps.ctx, log: deps.ctx.log.child({ requestId: request.id }) };
    let entered: Route | undefined;
    try {
      const [path = "", query = ""] = splitUrl(request.url);
      const route = deps.routes.find(request.method, path);
      const { principal, headers } = await admit(deps, ctx, route.binding.method, {
        authorization: request.headers.authorization,
        requestId: request.id,
        address: request.ip,
      });
      reply.headers(headers);
      const { message, ignored } = readRequest(route, {
        query,
        contentType: request.headers["content-type"],
        body: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
      });
      if (ignored.length > 0) reply.header(IGNORED_HEADER, ignoredNames(ignored));
      entered = route;
      const signal = clientSignal(reply);
      return await restCall.run({ principal, requestId: request.id, address: request.ip }, () =>
        answer(deps, ctx, { binding: route.binding, message, request, reply, signal }),
      );
    } catch (thrown) {
      const error = statusOf(thrown);
      if (!entered) {
        deps.finished(
          { method: "", code: error.code, durationMs: 0, requestId: request.id, userId: "" },
          error.cause,
        );
      } else if (error.cause !== undefined) {
        // What a handler threw was reported in the transport and lost its cause there: this is the transport's own.
        ctx.log.error({ err: error.cause }, "the transport failed");
      }
      return sendError(reply, withoutPrefix(entered?.binding.body ?? "", error));
    }
  };
}

interface Call {
  readonly binding: HttpBinding;
  readonly message: Message;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly signal: AbortSignal;
}

async function answer(deps: RestDeps, ctx: BaseCtx, call: Call): Promise<FastifyReply> {
  const { method } = call.binding;
  if (isUnary(method)) return answerUnary(deps, method, call);
  if (isStream(method)) return answerStream(deps, ctx, method, call);
  throw StatusError.from(new Error(`${method}: a client stream, which REST can't carry`));
}

async function answerUnary(deps: RestDeps, method: DescMethodUnary, call: Call): Promise<FastifyReply> {
  const { binding, message, request, reply, signal } = call;
  const headers = passedHeaders(request);
  if (binding.responseBody !== "") headers.set("accept", request.headers.accept ?? "");
  const ask = (asked: Message) => deps.transport.unary(method, signal, undefined, headers, asked);
  if (request.method === "GET" && hasCsv(method) && wantsCsv(request.headers.accept)) {
    const pieces = csvPieces(method, message, async (asked) => (await ask(asked)).message);
    return sendCsv(reply, await begun(pieces));
  }
  const response = await ask(message);
  copyHeaders(response.header, reply);
  if (binding.responseBody !== "") {
    const { contentType, data } = documentIn(response.message, method.output, binding.responseBody);
    return reply.type(contentType || "application/octet-stream").send(Buffer.from(data));
  }
  return reply.type("application/json").send(JSON.stringify(writeJson(method.output, response.message)));
}

/** The document that an answer holds; an empty one where it holds none. */
function documentIn(message: Message, schema: DescMessage, name: string): HttpBody {
  const field = schema.fields.find((each) => each.name === name);
  const value: unknown = field && Reflect.get(message, field.localName);
  return isMessage(value, HttpBodySchema) ? value : create(HttpBodySchema);
}

/** The pieces once the first of them is there: until then an error is an ordinary answer. */
async function begun(pieces: AsyncGenerator<string>): Promise<AsyncIterable<string>> {
  const first = await pieces.next();
  return (async function* () {
    if (!first.done) yield first.value;
    yield* pieces;
  })();
}

/** A failure in the middle breaks the connection off, so that nobody takes a part for the whole. */
function sendCsv(reply: FastifyReply, pieces: AsyncIterable<string>): FastifyReply {
  return reply.type("text/csv; charset=utf-8; header=present").send(Readable.from(pieces));
}

async function answerStream(
  deps: RestDeps,
  ctx: BaseCtx,
  method: DescMethodServerStreaming,
  { message, request, reply, signal }: Call,
): Promise<FastifyReply> {
  // The transport answers with its first message only, so it is opened by the first read.
  async function* messages() {
    const headers = passedHeaders(request);
    const response = await deps.transport.stream(method, signal, undefined, headers, single(message));
    for await (const each of response.message) yield writeJson(method.output, each);
  }
  // Fastify must not answer as well; its headers are written with ours.
  reply.hijack();
  const headers = plainHeaders(reply);
  try {
    await writeEvents({
      messages: messages(),
      response: reply.raw,
      headers,
      clock: ctx.clock,
      signal,
      errorOf: statusOf,
    });
  } catch (thrown) {
    rawError(reply, statusOf(thrown));
  }
  return reply;
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === "unary";
}

function isStream(method: DescMethod): method is DescMethodServerStreaming {
  return method.methodKind === "server_streaming";
}

async function* single<T>(value: T): AsyncIterable<T> {
  yield value;
}

/** Aborts when the client has gone before the answer was complete. The request's own close comes as soon as its body is read. */
function clientSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) gone.abort();
  });
  return gone.signal;
}

function passedHeaders(request: FastifyRequest): Headers {
  const key = request.headers[IDEMPOTENCY_HEADER];
  return new Headers(typeof key === "string" ? { [IDEMPOTENCY_HEADER]: key } : {});
}

/** What handlers and interceptors say in headers; the transport's own stay inside. */
function copyHeaders(headers: Headers, reply: FastifyReply): void {
  for (const [name, value] of headers) {
    const ours = name.startsWith("slipway-") || name.startsWith("idempotency-");
    if (ours || name === "content-disposition") reply.header(name, value);
  }
}

function splitUrl(url: string): readonly string[] {
  const at = url.indexOf("?");
  return at < 0 ? [url] : [url.slice(0, at), url.slice(at + 1)];
}

/** Names for a header: what is no plain character is percent-encoded. */
function ignoredNames(names: readonly string[]): string {
  const plain = [...new Set(names)].slice(0, IGNORED_NAMES_MAX).map((name) => {
    return encodeURIComponent(name.toWellFormed()).slice(0, IGNORED_NAME_LENGTH_MAX);
  });
  return plain.join(", ");
}

export function statusOf(thrown: unknown): StatusError {
  return thrown instanceof ConnectError ? fromConnectError(thrown) : StatusError.from(thrown);
}

export function sendError(reply: FastifyReply, error: StatusError): FastifyReply {
  return reply
    .code(httpStatusOf(error))
    .headers(errorHeaders(error))
    .type("application/json")
    .send(JSON.stringify(toStatusJson(error)));
}

/** An error on a stream whose headers are not out yet. */
function rawError(reply: FastifyReply, error: StatusError): void {
  if (reply.raw.headersSent || reply.raw.destroyed) return void reply.raw.destroy();
  reply.raw.writeHead(httpStatusOf(error), {
    ...plainHeaders(reply),
    ...errorHeaders(error),
    "content-type": "application/json",
  });
  reply.raw.end(JSON.stringify(toStatusJson(error)));
}

function plainHeaders(reply: FastifyReply): Record<string, string> {
  return Object.fromEntries(Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)]));
}
