/** The generated clients over the fetch that was handed in, by the Connect protocol. */
import type { Interceptor, Transport } from "@connectrpc/connect";
import type { UniversalClientFn } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import { NetworkError } from "./failure.ts";
import type { CliIo } from "./io.ts";
import { retried } from "./retry.ts";

/** Largest answer that is read: a page of a thousand models is far below it. */
const ANSWER_BYTES_MAX = 64 * 1_024 * 1_024;

export interface TransportOptions {
  readonly apiUrl: string;
  readonly token: string;
  /** Deadline of one call with all its repetitions. */
  readonly timeoutMs: number;
}

export function transportOf(io: CliIo, options: TransportOptions): Transport {
  return createTransport({
    baseUrl: options.apiUrl,
    httpClient: httpClient(io, options.apiUrl),
    useBinaryFormat: false,
    interceptors: [retried(io.clock, io.interrupted), authenticated(options.token)],
    // A server that is newer than this program may send fields that it does not know.
    jsonOptions: { ignoreUnknownFields: true },
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: ANSWER_BYTES_MAX,
    writeMaxBytes: ANSWER_BYTES_MAX,
    defaultTimeoutMs: options.timeoutMs,
  });
}

function authenticated(token: string): Interceptor {
  return (next) => (request) => {
    if (token !== "") request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

function httpClient(io: CliIo, where: string): UniversalClientFn {
  return async (request) => {
    const body = await collected(request.body);
    const signal = AbortSignal.any([io.interrupted, ...(request.signal ? [request.signal] : [])]);
    const response = await guarded(signal, where, () =>
      io.fetch(request.url, {
        method: request.method,
        headers: request.header,
        ...(body === undefined ? {} : { body }),
        signal,
        // A redirect could carry the token elsewhere.
        redirect: "manual",
      }),
    );
    return {
      status: response.status,
      header: decoded(response.headers),
      body: chunks(signal, where, response),
      trailer: new Headers(),
    };
  };
}

/** fetch has undone the encoding that it asked for by itself; the protocol must not undo it again. */
function decoded(headers: Headers): Headers {
  const header = new Headers(headers);
  header.delete("content-encoding");
  header.delete("content-length");
  return header;
}

async function collected(
  body: AsyncIterable<Uint8Array> | undefined,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (body === undefined) return undefined;
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}

async function* chunks(signal: AbortSignal, where: string, response: Response): AsyncIterable<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const { done, value } = await guarded(signal, where, () => reader.read());
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Network failures as such; what the caller's own signal ended keeps its reason. */
async function guarded<T>(signal: AbortSignal, where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw new NetworkError(where, error);
  }
}
