import { type Logger, pino } from "pino";

export type Log = Logger;

/** Field names that never reach a log line, however deep a caller puts them. */
const REDACTED = ["authorization", "apiKey", "hfToken", "token", "secret", "password", "prompt", "messages"];

/** JSON lines on stderr. Domains log facts with ids; secrets and prompts are cut here as a last defence. */
export function createLog(options: { level: string; name: string }): Log {
  return pino(
    {
      name: options.name,
      level: options.level,
      base: { pid: process.pid },
      redact: { paths: REDACTED.flatMap((word) => [word, `*.${word}`, `*.*.${word}`]), censor: "[redacted]" },
    },
    pino.destination({ dest: 2, sync: false }),
  );
}

export const silentLog: Log = pino({ level: "silent" });
