/** Forms as browsers send them, and whether it was one of ours. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { SecretBox } from "../base/seal.ts";
import { StatusError } from "../base/status.ts";

/** The largest of our forms is far below it. */
const FORM_BYTES_MAX = 16 * 1024;

/** The fields of a form. Throws UNSUPPORTED_CONTENT_TYPE, BODY_TOO_LARGE. */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  if (!/^application\/x-www-form-urlencoded\b/i.test(request.headers["content-type"] ?? "")) {
    throw new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "UNSUPPORTED_CONTENT_TYPE",
      message: "This takes a form as a browser sends it.",
    });
  }
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request) {
    const bytes: Buffer = piece;
    size += bytes.length;
    if (size > FORM_BYTES_MAX) {
      throw new StatusError({
        code: "INVALID_ARGUMENT",
        reason: "BODY_TOO_LARGE",
        message: `The form is larger than ${FORM_BYTES_MAX} bytes.`,
      });
    }
    pieces.push(bytes);
  }
  return new URLSearchParams(Buffer.concat(pieces).toString("utf8"));
}

/** Throws NOT_ALLOWED for what another site made the browser send. Browsers tell where a form comes from; other programs carry no cookies. */
export function requireOwnOrigin(request: IncomingMessage, publicUrl: string): void {
  const { origin, "sec-fetch-site": site } = request.headers;
  const own =
    (origin === undefined || origin === publicUrl) && (site === undefined || site === "same-origin");
  if (!own) throw notOurs();
}

/** A token that only the page of this interaction can know. */
export function csrfToken(box: SecretBox, interactionId: string): string {
  return createHmac("sha256", box.derive("oidc-csrf")).update(interactionId).digest("base64url");
}

/** Throws NOT_ALLOWED unless the form carries the token of this interaction. */
export function requireCsrfToken(box: SecretBox, interactionId: string, form: URLSearchParams): void {
  const expected = Buffer.from(csrfToken(box, interactionId));
  const given = Buffer.from(form.get("csrf") ?? "");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw notOurs();
}

function notOurs(): StatusError {
  return new StatusError({
    code: "PERMISSION_DENIED",
    reason: "NOT_ALLOWED",
    message: "The form did not come from this page. Begin again with `slipway login`.",
  });
}
