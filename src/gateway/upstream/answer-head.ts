/** Parses the head of an HTTP/1.1 answer, strictly: what could be read in two ways is refused. */

export interface AnswerHead {
  readonly status: number;
  readonly contentType: string;
  readonly retryAfter: string;
  /** Bytes of the body, or -1 when it is chunked. */
  readonly length: number;
  /** The connection may carry another request afterwards. */
  readonly keepAlive: boolean;
}

/** A replica that breaks HTTP: its connection is of no use any more. */
export class FramingError extends Error {}

const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: |$)/;
const DIGITS = /^\d{1,15}$/;

export function parseHead(head: string): AnswerHead {
  const lineEnd = head.indexOf("\r\n");
  const line = STATUS_LINE.exec(lineEnd < 0 ? head : head.slice(0, lineEnd));
  if (!line) throw new FramingError("bad status line");
  let length = -1;
  let chunked = false;
  let contentType = "";
  let retryAfter = "";
  let keepAlive = line[1] === "1";
  for (let at = lineEnd; at >= 0; ) {
    const start = at + 2;
    at = head.indexOf("\r\n", start);
    const field = at < 0 ? head.slice(start) : head.slice(start, at);
    const colon = field.indexOf(":");
    if (colon <= 0) throw new FramingError("bad header line");
    const value = field.slice(colon + 1).trim();
    switch (field.slice(0, colon).toLowerCase()) {
      case "content-length":
        if (!DIGITS.test(value) || (length >= 0 && length !== Number(value)))
          throw new FramingError("bad content-length");
        length = Number(value);
        break;
      case "transfer-encoding":
        if (value.toLowerCase() !== "chunked" || chunked) throw new FramingError("bad transfer-encoding");
        chunked = true;
        break;
      case "content-type":
        contentType = value;
        break;
      case "retry-after":
        retryAfter = value;
        break;
      case "connection":
        keepAlive = value.toLowerCase() !== "close";
        break;
    }
  }
  const status = Number(line[2]);
  if (chunked && length >= 0) throw new FramingError("both content-length and transfer-encoding");
  if (!chunked && length < 0) {
    // Without either the body ends with the connection, which can't be told from a cut; our engines always frame.
    if (status !== 204 && status !== 304) throw new FramingError("body without framing");
    length = 0;
  }
  return { status, contentType, retryAfter, length: chunked ? -1 : length, keepAlive };
}
