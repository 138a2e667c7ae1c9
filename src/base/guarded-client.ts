import { lookup as systemLookup } from "node:dns/promises";
import { Agent, type Dispatcher } from "undici";
import { type AddressGuard, addressGuard, bareHostname, isAddressLiteral } from "./address-guard.ts";
import { guardedConnector, privateAddress, type Resolve } from "./guarded-connector.ts";
import { StatusError } from "./status.ts";

/**
 * The one HTTP client for URLs that a user influences: hub files, webhooks, media. Only https, only public addresses (judged
 * after DNS, at the moment of connecting, on every redirect), unless the operator listed the host or the range.
 */
export interface GuardedClient {
  /** The whole answer in memory; the deadline covers all of it. Any HTTP status is an answer, not an error. */
  fetch(request: GuardedRequest & { readonly bodyBytesMax: number }): Promise<GuardedAnswer>;
  /** The answer as it arrives; the deadline covers the head, `idleMs` each wait for more. Leave the body by break or by reading it. */
  stream(
    request: GuardedRequest & { readonly bodyBytesMax: number; readonly idleMs: number },
  ): Promise<GuardedStream>;
  /** Throws URL_REFUSED for a URL that no request may go to, as far as can be said without resolving its name. */
  check(url: string): void;
  close(): Promise<void>;
}

export interface GuardedRequest {
  readonly url: string;
  readonly method?: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** How many redirects are followed; default 5 for GET and HEAD, 0 for the others. At 0 a 3xx is the answer. */
  readonly redirectsMax?: number;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

interface Head {
  readonly status: number;
  /** Lower-case names; a repeated header is joined by commas. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where the answer came from, after redirects. */
  readonly url: string;
}

export interface GuardedAnswer extends Head {
  readonly body: Buffer;
}

export interface GuardedStream extends Head {
  readonly body: AsyncIterable<Uint8Array>;
}

export interface GuardedClientOptions {
  /** The operator's list; see addressGuard. */
  readonly allowed: readonly string[];
  readonly userAgent: string;
  /** Name resolution, handed in by tests. */
  readonly resolve?: Resolve;
}

/** Hub → CDN takes one, renamed repositories another; more is a loop. */
const REDIRECTS_MAX = 5;
const HEAD_BYTES_MAX = 32 * 1024;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** Headers that open doors at the host that they were meant for, and nowhere else. */
const CREDENTIALS = new Set(["authorization", "cookie", "proxy-authorization"]);

export function createGuardedClient(options: GuardedClientOptions): GuardedClient {
  const guard = addressGuard(options.allowed);
  const agent = new Agent({
    connect: guardedConnector(guard, options.resolve ?? ((name) => systemLookup(name, { all: true }))),
    maxHeaderSize: HEAD_BYTES_MAX,
  });
  const call: Call = { agent, guard, userAgent: options.userAgent };
  return {
    fetch: (request) => fetchWhole(call, request),
    stream: (request) => openStream(call, request),
    check: (url) => checkUrl(guard, parseUrl(url)),
    close: () => agent.destroy(),
  };
}

interface Call {
  readonly agent: Agent;
  readonly guard: AddressGuard;
  readonly userAgent: string;
}

async function fetchWhole(
  call: Call,
  request: GuardedRequest & { bodyBytesMax: number },
): Promise<GuardedAnswer> {
  const limit = deadline(request);
  try {
    const { head, body } = await follow(call, request, limit.signal, request.deadlineMs);
    const chunks: Uint8Array[] = [];
    for await (const chunk of bounded(body, request.bodyBytesMax)) chunks.push(chunk);
    return { ...head, body: Buffer.concat(chunks) };
  } catch (error) {
    throw explain(error, request, limit);
  } finally {
    limit.clear();
  }
}

async function openStream(
  call: Call,
  request: GuardedRequest & { bodyBytesMax: number; idleMs: number },
): Promise<GuardedStream> {
  const limit = deadline(request);
  try {
    const { head, body } = await follow(call, request, limit.signal, request.idleMs);
    return { ...head, body: explained(bounded(body, request.bodyBytesMax), request, limit) };
  } catch (error) {
    throw explain(error, request, limit);
  } finally {
    limit.clear();
  }
}

async function* explained(
  body: AsyncIterable<Uint8Array>,
  request: GuardedRequest,
  limit: Limit,
): AsyncIterable<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw explain(error, request, limit);
  }
}

/** Follows redirects by hand: each target is checked like the first, and credentials stay with the host that they were given for. */
async function follow(
  call: Call,
  request: GuardedRequest,
  signal: AbortSignal,
  idleMs: number,
): Promise<{ head: Head; body: Dispatcher.ResponseData["body"] }> {
  let url = parseUrl(request.url);
  let method = request.method ?? "GET";
  let headers = lowerCased({
    "user-agent": call.userAgent,
    "accept-encoding": "identity",
    ...request.headers,
  });
  let payload = request.body;
  const redirectsMax = request.redirectsMax ?? (method === "GET" || method === "HEAD" ? REDIRECTS_MAX : 0);
  for (let redirects = 0; ; redirects++) {
    checkUrl(call.guard, url);
    const answer = await call.agent.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method,
      headers,
      body: payload ?? null,
      signal,
      headersTimeout: request.deadlineMs,
      bodyTimeout: idleMs,
    });
    const head = { status: answer.statusCode, headers: joined(answer.headers), url: url.href };
    const target = head.headers.location;
    if (redirectsMax === 0 || target === undefined || !REDIRECTS.has(head.status))
      return { head, body: answer.body };
    await answer.body.dump({ limit: HEAD_BYTES_MAX });
    if (redirects >= redirectsMax) throw refused(url, "it redirects too often");
    const next = parseUrl(target, url);
    if (next.origin !== url.origin) headers = withoutCredentials(headers);
    if (head.status < 307 && method !== "HEAD") {
      method = "GET";
      payload = undefined;
    }
    url = next;
  }
}

function checkUrl(guard: AddressGuard, url: URL): void {
  const hostname = bareHostname(url.hostname);
  if (url.username !== "" || url.password !== "") throw refused(url, "it holds a user name or password");
  if (guard.isListedHost(hostname, portOf(url)) && /^https?:$/.test(url.protocol)) return;
  if (url.protocol !== "https:") throw refused(url, "it is not https");
  if (isAddressLiteral(hostname) && !guard.isAllowedAddress(hostname)) throw privateAddress(hostname);
}

async function* bounded(
  body: Dispatcher.ResponseData["body"],
  bytesMax: number,
): AsyncGenerator<Uint8Array, void, void> {
  let size = 0;
  for await (const chunk of body) {
    const bytes: Uint8Array = chunk;
    size += bytes.byteLength;
    if (size > bytesMax) {
      throw new StatusError({
        code: "OUT_OF_RANGE",
        reason: "BODY_TOO_LARGE",
        message: `The remote host answered more than ${bytesMax} bytes.`,
      });
    }
    yield bytes;
  }
}

interface Limit {
  readonly signal: AbortSignal;
  readonly timer: AbortSignal;
  /** Ends the deadline; the caller's signal keeps its say. */
  clear(): void;
}

function deadline(request: GuardedRequest): Limit {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), request.deadlineMs);
  const signal = request.signal ? AbortSignal.any([request.signal, controller.signal]) : controller.signal;
  return { signal, timer: controller.signal, clear: () => clearTimeout(timer) };
}

function explain(error: unknown, request: GuardedRequest, limit: Limit): unknown {
  if (request.signal?.aborted) return request.signal.reason;
  if (error instanceof StatusError) return error;
  const host = new URL(request.url).host;
  if (limit.timer.aborted) {
    return new StatusError({
      code: "DEADLINE_EXCEEDED",
      reason: "DEADLINE",
      message: `${host} did not answer within ${request.deadlineMs} ms.`,
      cause: error,
    });
  }
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "UNAVAILABLE",
    message: `${host} could not be reached, or the connection broke.`,
    cause: error,
  });
}

function parseUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href);
  if (url) return url;
  throw new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "URL_REFUSED",
    message: "The URL can't be read.",
  });
}

function portOf(url: URL): string {
  return url.port || (url.protocol === "https:" ? "443" : "80");
}

// Only the host is told: paths and queries of signed URLs are secrets.
function refused(url: URL, why: string): StatusError {
  return new StatusError({
    code: "PERMISSION_DENIED",
    reason: "URL_REFUSED",
    message: `A URL on ${url.host} is refused: ${why}. The operator can list the host.`,
  });
}

function lowerCased(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !CREDENTIALS.has(name)));
}

function joined(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(", ") : (value ?? ""),
    ]),
  );
}
