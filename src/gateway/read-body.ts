/** A request's body within its bound, and nothing of what comes after a refusal. */
import type { IncomingMessage } from "node:http";
import type { StatusError } from "../base/status.ts";
import { refused } from "./openai-error.ts";

const JSON_TYPE = /^application\/json\b/i;

/** Calls `take` with the whole body, or `refuse` once. Neither when the client goes away before. */
export function readBody(
  request: IncomingMessage,
  bodyMaxBytes: number,
  take: (body: Buffer) => void,
  refuse: (error: StatusError) => void,
): void {
  const type = request.headers["content-type"];
  if (type !== undefined && !JSON_TYPE.test(type)) {
    refuse(refused("UNSUPPORTED_CONTENT_TYPE", "Send the body as `Content-Type: application/json`."));
    return;
  }
  if (Number(request.headers["content-length"] ?? 0) > bodyMaxBytes) {
    refuse(tooLarge(bodyMaxBytes));
    return;
  }
  let pieces: Buffer[] | undefined = [];
  let bytes = 0;
  request.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (pieces === undefined) return;
    if (bytes <= bodyMaxBytes) pieces.push(piece);
    else {
      pieces = undefined;
      refuse(tooLarge(bodyMaxBytes));
    }
  });
  request.on("end", () => {
    if (pieces === undefined) return;
    const [only] = pieces;
    take(pieces.length === 1 && only ? only : Buffer.concat(pieces));
  });
}

function tooLarge(bodyMaxBytes: number): StatusError {
  return refused("BODY_TOO_LARGE", `The body is larger than ${bodyMaxBytes} bytes.`);
}
