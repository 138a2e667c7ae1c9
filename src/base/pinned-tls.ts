/**
 * TLS whose only trust is one certificate: no authority, no name, no date. For machines that were started with a certificate of
 * their own, whose SHA-256 (of the DER form) the control plane knows. Not a byte goes out before the certificate was seen.
 */
import { connect, type TLSSocket } from "node:tls";

export interface PinnedAddress {
  readonly host: string;
  readonly port: number;
  /** 64 hex digits; case does not matter. */
  readonly certificateSha256: string;
}

/** Why a pinned connection did not come about: something is there, and it is not what was started. */
export class PinError extends Error {
  readonly code: "CERTIFICATE_NOT_PINNED" | "NO_TLS";

  constructor(code: PinError["code"], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** Opens a connection. One of the two is called, once; what becomes of an open connection is the caller's to hear. */
export function connectPinned(
  address: PinnedAddress,
  hear: { opened(socket: TLSSocket): void; failed(error: Error): void },
): TLSSocket {
  const { host, port } = address;
  const socket = connect({ host, port, rejectUnauthorized: false });
  let pending = true;
  const fail = (error: Error) => {
    if (!pending) return;
    pending = false;
    hear.failed(error);
    socket.destroy();
  };
  // No TLS speaker answers in plain text, and what OpenSSL says of it helps nobody.
  socket.on("error", (error) => fail(isPlainText(error) ? noTls(error) : error));
  socket.on("close", () => fail(new Error("the connection was closed")));
  socket.once("secureConnect", () => {
    const shown = fingerprint(socket);
    if (shown !== address.certificateSha256.toLowerCase()) return fail(notPinned(shown));
    pending = false;
    hear.opened(socket);
  });
  return socket;
}

function fingerprint(socket: TLSSocket): string | undefined {
  const shown: Partial<ReturnType<TLSSocket["getPeerCertificate"]>> = socket.getPeerCertificate();
  return shown.fingerprint256?.replaceAll(":", "").toLowerCase();
}

function notPinned(shown: string | undefined): PinError {
  const what = shown === undefined ? "none" : `SHA-256 ${shown.slice(0, 16)}…`;
  const message = `its certificate (${what}) is not the one that the replica was started with`;
  return new PinError("CERTIFICATE_NOT_PINNED", message);
}

function noTls(cause: Error): PinError {
  return new PinError("NO_TLS", "it speaks no TLS, which this replica must", cause);
}

/** OpenSSL's words for bytes that are no TLS record. */
const PLAIN_TEXT_CODES: ReadonlySet<string> = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_HTTP_REQUEST",
  "EPROTO",
]);

function isPlainText(error: Error): boolean {
  return "code" in error && typeof error.code === "string" && PLAIN_TEXT_CODES.has(error.code);
}
