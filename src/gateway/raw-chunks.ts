/**
 * Passing an upstream's chunked framing through unchanged saves a quarter of a stream's CPU. Node writes its own framing unless
 * `chunkedEncoding` is off after `writeHead`; the property is old and undocumented, so it is used here alone, under a test, and
 * `possible` says when the ordinary way must be taken.
 */
import type { ServerResponse } from "node:http";

interface Framed {
  chunkedEncoding: boolean;
}

function framed(response: object): Framed | undefined {
  return "chunkedEncoding" in response && typeof response.chunkedEncoding === "boolean"
    ? (response as Framed)
    : undefined;
}

export const rawChunks = {
  /** False for HTTP/1.0 clients, and should Node ever lose the property. */
  possible(response: ServerResponse): boolean {
    return response.req.httpVersionMinor >= 1 && framed(response) !== undefined;
  },

  /** After this the response takes chunked framing as it is. */
  writeHead(
    response: ServerResponse,
    status: number,
    headers: Readonly<Record<string, string | number>>,
  ): void {
    response.writeHead(status, { ...headers, "transfer-encoding": "chunked" });
    const own = framed(response);
    if (own) own.chunkedEncoding = false;
  },

  /** Ends a raw response between two chunks with one more chunk of ours. */
  end(response: ServerResponse, text: string): void {
    response.end(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n0\r\n\r\n`);
  },
};
