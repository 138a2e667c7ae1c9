/** A client that sees every byte, framing included. */
import { connect, type Socket } from "node:net";
import { MODEL_KEY } from "./memory-control.ts";

export interface RawClient {
  readonly socket: Socket;
  /** All that came so far. */
  text(): string;
  /** Waits until what came fulfils the condition; rejects when the connection ends before. */
  until(condition: (text: string) => boolean): Promise<string>;
  /** Resolves with everything once the server has closed. */
  readonly closed: Promise<string>;
}

export function rawClient(port: number): RawClient {
  const socket = connect({ port, host: "127.0.0.1" });
  let text = "";
  let over = false;
  const waiting = new Set<() => void>();
  const look = () => {
    for (const one of waiting) one();
  };
  socket.on("data", (piece) => {
    text += piece.toString("latin1");
    look();
  });
  socket.on("error", () => {});
  const closed = new Promise<string>((resolve) => {
    socket.on("close", () => {
      over = true;
      look();
      resolve(text);
    });
  });
  return {
    socket,
    closed,
    text: () => text,
    until: (condition) =>
      new Promise((resolve, reject) => {
        const check = () => {
          if (condition(text)) resolve(text);
          else if (over) reject(new Error(`the connection ended after: ${text}`));
          else return;
          waiting.delete(check);
        };
        waiting.add(check);
        check();
      }),
  };
}

export function rawPost(
  path: string,
  body: string,
  more: { key?: string; version?: string; headers?: string } = {},
): string {
  return (
    `POST ${path} HTTP/${more.version ?? "1.1"}\r\nhost: gateway\r\nauthorization: Bearer ${more.key ?? MODEL_KEY}\r\n` +
    `content-type: application/json\r\n${more.headers ?? ""}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}

export function bodyOf(answer: string): string {
  return answer.slice(answer.indexOf("\r\n\r\n") + 4);
}
