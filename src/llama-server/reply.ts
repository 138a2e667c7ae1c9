/** Answers on the wire: one JSON document with its length, or server-sent events. */
import type { ServerResponse } from "node:http";
import type { EventStream, Reply } from "./service.ts";

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": bytes.length,
    ...headers,
  });
  response.end(bytes);
}

export function createReply(response: ServerResponse): Reply {
  return { json: (body) => sendJson(response, 200, body), events: () => createEvents(response) };
}

/**
 * A slow reader does not slow the sequence down: events are buffered, which is bounded by the answer's tokens, and the sequence is
 * free for the next request as soon as the answer is complete.
 */
function createEvents(response: ServerResponse): EventStream {
  const write = (text: string) => {
    if (response.destroyed) return;
    if (!response.headersSent) {
      response.writeHead(200, {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
      });
    }
    response.write(text);
  };
  return {
    send: (data, name) => write(`${name ? `event: ${name}\n` : ""}data: ${JSON.stringify(data)}\n\n`),
    done() {
      write("data: [DONE]\n\n");
      response.end();
    },
  };
}
