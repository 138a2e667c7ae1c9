/** A replica that does exactly what a test writes down: bytes on a socket, well or badly framed, early, late or never. */

import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { RouteReplica } from "../../../src/gateway/index.ts";
import { type Cleanup, undoAfter } from "../cleanup.ts";
import { pinOf } from "./certificate.ts";

export interface Asked {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Which connection it came on, from 1, and which request of that connection it is. */
  readonly connection: number;
  readonly turn: number;
}

export type Behave = (asked: Asked, socket: Socket) => void | Promise<void>;

export interface FaultReplica {
  readonly route: RouteReplica;
  /** Every request so far but /tokenize's. */
  readonly asked: readonly Asked[];
  readonly tokenized: readonly Asked[];
  /** What the next requests meet; `answerJson()` at first. */
  behave: Behave;
  /** What /tokenize meets; a count of `TOKENIZED` at first. */
  tokenize: Behave;
  readonly sockets: ReadonlySet<Socket>;
  close(): void;
}

/** Tokens of every prompt, by this replica's /tokenize. */
export const TOKENIZED = 17;
const JSON_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
export const STREAM_HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
export const LAST_CHUNK = "0\r\n\r\n";
export const DONE = "data: [DONE]\n\n";

let number = 0;

/** Speaks TLS with a certificate, and is pinned to it; plain text without. */
export async function faultReplica(
  t: Cleanup,
  port = 0,
  tls?: { readonly cert: string; readonly key: string },
): Promise<FaultReplica> {
  const asked: Asked[] = [];
  const tokenized: Asked[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const take = (socket: Socket) => {
    const connection = ++connections;
    let turn = 0;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    readRequests(socket, (path, headers, body) => {
      const one = { path, headers, body, connection, turn: ++turn };
      if (path === "/tokenize") {
        tokenized.push(one);
        void replica.tokenize(one, socket);
        return;
      }
      asked.push(one);
      void replica.behave(one, socket);
    });
  };
  const server = tls ? createTlsServer(tls, take) : createServer(take);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const close = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  undoAfter(t, close);
  const route = {
    replicaId: `replica-${++number}`,
    host: "127.0.0.1",
    port: (server.address() as AddressInfo).port,
    engineKey: `engine-key-${number}`,
    ...(tls ? { certificateSha256: pinOf(tls.cert) } : {}),
  };
  const tokenize = answerRaw(jsonAnswer({ count: TOKENIZED }));
  const replica: FaultReplica = { route, asked, tokenized, behave: answerJson(), tokenize, sockets, close };
  return replica;
}

function readRequests(
  socket: Socket,
  take: (path: string, headers: Record<string, string>, body: Buffer) => void,
): void {
  let bytes = Buffer.alloc(0);
  socket.on("data", (piece) => {
    bytes = Buffer.concat([bytes, piece]);
    for (let end = bytes.indexOf("\r\n\r\n"); end >= 0; end = bytes.indexOf("\r\n\r\n")) {
      const [line = "", ...fields] = bytes.toString("latin1", 0, end).split("\r\n");
      const headers = Object.fromEntries(
        fields.map((field) => [
          field.slice(0, field.indexOf(":")).toLowerCase(),
          field.slice(field.indexOf(":") + 1).trim(),
        ]),
      );
      const length = Number(headers["content-length"] ?? 0);
      if (bytes.length < end + 4 + length) return;
      const body = bytes.subarray(end + 4, end + 4 + length);
      bytes = Buffer.from(bytes.subarray(end + 4 + length));
      take(line.split(" ")[1] ?? "", headers, Buffer.from(body));
    }
  });
}

export interface Counted {
  readonly prompt: number;
  readonly cached?: number;
  readonly completion: number;
}

export const COUNTED: Counted = { prompt: 20, cached: 8, completion: 5 };

export function usageJson({ prompt, cached, completion }: Counted) {
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    ...(cached === undefined ? {} : { prompt_tokens_details: { cached_tokens: cached } }),
  };
}

export function completionJson(counted: Counted = COUNTED) {
  return {
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1,
    model: "m",
    choices: [{ index: 0, message: { role: "assistant", content: "words" }, finish_reason: "stop" }],
    usage: usageJson(counted),
  };
}

/** A whole JSON answer, head included. */
export function jsonAnswer(value: unknown, status = "200 OK", extra = ""): string {
  const body = JSON.stringify(value);
  return `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\n${extra}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

export function answerJson(counted: Counted = COUNTED): Behave {
  return (_asked, socket) => void socket.write(jsonAnswer(completionJson(counted)));
}

export function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

export function wordEvent(content: string, more: object = {}): string {
  const choices = [{ index: 0, delta: { content }, finish_reason: null }];
  return `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices, ...more })}\n\n`;
}

export function usageEvent(counted: Counted = COUNTED): string {
  return `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices: [], usage: usageJson(counted) })}\n\n`;
}

/** The events of an ordinary stream of that many words, its usage frame and its end marker. */
export function streamEvents(words: number, counted: Counted = COUNTED): string[] {
  const content = Array.from({ length: words }, (_, i) => wordEvent(` w${i}`));
  return [...content, usageEvent(counted), DONE];
}

export function answerStream(events: readonly string[]): Behave {
  return (_asked, socket) => void socket.write(STREAM_HEAD + events.map(chunk).join("") + LAST_CHUNK);
}

/** Writes raw bytes and then, where asked, ends or resets the connection. */
export function answerRaw(bytes: string, then: "stay" | "end" | "reset" = "stay"): Behave {
  return (_asked, socket) => {
    if (then === "end") socket.end(bytes);
    else if (bytes !== "") socket.write(bytes);
    if (then === "reset") setImmediate(() => socket.resetAndDestroy());
  };
}

export const HEAD_OF_JSON = JSON_HEAD;
