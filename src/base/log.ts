import { type Logger, pino } from "pino";

export type Log = Logger;

/** Field names that never reach a log line, however deep a caller puts them. */
const REDACTED = ["authorization", "apiKey", "hfToken", "token", "secret", "password", "prompt", "messages"];

/** JSON lines on stderr, or appended to a file. Domains log facts with ids; secrets and prompts are cut here as a last defence. */
export function createLog(options: { level: string; name: string; file?: string }): Log {
  return pino(
    {
      name: options.name,
      level: options.level,
      base: { pid: process.pid },
      redact: { paths: REDACTED.flatMap((word) => [word, `*.${word}`, `*.*.${word}`]), censor: "[redacted]" },
    },
    pino.destination(
      options.file === undefined
        ? { dest: 2, sync: false }
        : { dest: options.file, sync: false, mkdir: true },
    ),
  );
}

export const silentLog: Log = pino({ level: "silent" });
