/** Secrets come from a file, from a pipe or from a question without echo: never from the command line, which others can read. */
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { invalidArgument, StatusError } from "../base/status.ts";
import type { CliIo } from "./io.ts";

/** Longest file or pipe that is taken for a secret. */
const SECRET_BYTES_MAX = 4_096;

/** The secret in a file; "-" is standard input. */
export async function readTokenFile(io: CliIo, path: string): Promise<string> {
  const text = path === "-" ? await readPiped(io, SECRET_BYTES_MAX) : await readFirstBytes(path);
  const secret = text.trim();
  if (secret !== "" && /^[!-~]+$/.test(secret)) return secret;
  throw invalidArgument([
    { field: path, description: "must hold one secret of visible ASCII characters, and nothing else" },
  ]);
}

/** Everything on standard input, up to a bound. */
export async function readPiped(io: CliIo, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of io.stdin) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    size += bytes.length;
    if (size > bytesMax) throw tooLong("standard input", bytesMax);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Asks on the terminal without showing what is typed; throws CANCELLED when the user leaves. */
export function askSecret(io: CliIo, question: string): Promise<string> {
  io.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: io.stdin, output: silent, terminal: true });
  return new Promise((resolve, reject) => {
    const finish = (end: () => void) => {
      lines.removeAllListeners();
      lines.close();
      io.stderr.write("\n");
      end();
    };
    lines.once("line", (line) => finish(() => resolve(line.trim())));
    lines.once("SIGINT", () => finish(() => reject(cancelled())));
    lines.once("close", () => finish(() => reject(cancelled())));
  });
}

export function cancelled(): StatusError {
  return new StatusError({ code: "CANCELLED", reason: "CANCELLED", message: "Interrupted." });
}

async function readFirstBytes(path: string): Promise<string> {
  const file = await open(path).catch((cause: unknown) => {
    throw new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "INVALID_FIELD",
      message: `The file ${path} can't be read.`,
      cause,
    });
  });
  try {
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(SECRET_BYTES_MAX + 1),
      0,
      SECRET_BYTES_MAX + 1,
      0,
    );
    if (bytesRead > SECRET_BYTES_MAX) throw tooLong(path, SECRET_BYTES_MAX);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}

function tooLong(what: string, bytesMax: number): StatusError {
  return invalidArgument([{ field: what, description: `must be at most ${bytesMax} bytes` }]);
}
