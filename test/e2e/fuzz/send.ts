/** One request over a plain socket, so that what is sent is what was made, not what a client makes of it. */
import { request } from "node:http";
import type { FuzzRequest } from "./requests.ts";

export interface FuzzAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

const ANSWER_TIMEOUT_MS = 30_000;
/** Streams stay open; their beginning is enough. */
const STREAM_MS = 200;

/** Rejects when no answer comes: a server must answer whatever is asked. */
export function send(base: URL, { method, target, headers, body }: FuzzRequest): Promise<FuzzAnswer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: base.hostname, port: base.port, path: target, method, headers, timeout: ANSWER_TIMEOUT_MS },
      (answer) => {
        const type = answer.headers["content-type"] ?? "";
        const pieces: Buffer[] = [];
        const done = () =>
          resolve({ status: answer.statusCode ?? 0, type, text: Buffer.concat(pieces).toString("utf8") });
        answer.on("data", (piece: Buffer) => pieces.push(piece));
        answer.once("end", done);
        answer.once("error", reject);
        if (type.startsWith("text/event-stream")) {
          setTimeout(() => {
            done();
            asked.destroy();
          }, STREAM_MS);
        }
      },
    );
    asked.once("error", reject);
    asked.once("timeout", () => asked.destroy(new Error("no answer in time")));
    asked.end(body);
  });
}
