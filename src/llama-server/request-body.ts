/** Reading a request's JSON body, bounded. */
import type { IncomingMessage } from "node:http";
import { StatusError } from "../base/status.ts";

/** Room for the longest contexts as text with their JSON around them. */
const BODY_BYTES_MAX = 8 * 1024 * 1024;

/** Throws UNSUPPORTED_CONTENT_TYPE, BODY_TOO_LARGE or MALFORMED_JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const type = request.headers["content-type"] ?? "application/json";
  if (!/^application\/([\w.-]+\+)?json\b/i.test(type)) {
    throw invalid("UNSUPPORTED_CONTENT_TYPE", "The body must be JSON: send content-type: application/json.");
  }
  const bytes = await readBounded(request);
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw invalid("MALFORMED_JSON", "The body is not valid JSON.");
  }
}

async function readBounded(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > BODY_BYTES_MAX) throw refuse(request);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > BODY_BYTES_MAX) throw refuse(request);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

/** What still comes is read and thrown away: a connection that is closed on it may take our answer with it. */
function refuse(request: IncomingMessage): StatusError {
  request.resume();
  return invalid("BODY_TOO_LARGE", `The body is larger than ${BODY_BYTES_MAX / 1024 / 1024} MiB.`);
}

function invalid(reason: "UNSUPPORTED_CONTENT_TYPE" | "BODY_TOO_LARGE" | "MALFORMED_JSON", message: string) {
  return new StatusError({ code: "INVALID_ARGUMENT", reason, message });
}
