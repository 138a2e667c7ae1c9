/** One HTTP exchange of the protocol over fetch, which browsers and Node both have. */
import type { UniversalClientFn } from "@connectrpc/connect/protocol";
import { UnreachableError } from "./error.ts";

export interface FetchClientOptions {
  readonly fetch: typeof fetch;
  /** The control plane, for the words of a failure. */
  readonly where: string;
  /** Ends every exchange. */
  readonly signal: AbortSignal;
}

export function fetchClient({ fetch, where, signal: all }: FetchClientOptions): UniversalClientFn {
  return async (request) => {
    const body = await collected(request.body);
    const signal = AbortSignal.any([all, ...(request.signal ? [request.signal] : [])]);
    const response = await guarded(signal, where, () =>
      fetch(request.url, {
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

/** The whole request: browsers can't stream one, and none of ours is large. */
async function collected(
  body: AsyncIterable<Uint8Array> | undefined,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (body === undefined) return undefined;
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
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
    throw new UnreachableError(where, error);
  }
}
