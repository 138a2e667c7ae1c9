/** A receiver of webhooks on this machine: keeps what it was sent, and answers as it is told. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Cleanup, undoAfter } from "./cleanup.ts";

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Receiver {
  readonly url: string;
  /** What the operator would list. */
  readonly host: string;
  readonly received: readonly Received[];
  /** How every request is answered from now on; 204 at first. */
  answer(how: (response: ServerResponse, got: Received) => void): void;
  /** Resolves when so many requests have come in all. */
  until(count: number): Promise<void>;
}

export async function receiver(t: Cleanup): Promise<Receiver> {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  let how = (response: ServerResponse, _got: Received): void => void response.writeHead(204).end();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const got = {
        path: request.url ?? "",
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      };
      received.push(got);
      for (const wake of waiting) wake();
      how(response, got);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  undoAfter(t, () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `http://${host}/hooks`,
    host,
    received,
    answer: (next) => {
      how = next;
    },
    until: (count) =>
      new Promise((resolve) => {
        const wake = () => {
          if (received.length < count) return;
          waiting.delete(wake);
          resolve();
        };
        waiting.add(wake);
        wake();
      }),
  };
}
