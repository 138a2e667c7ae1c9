/**
 * Keeps the engine process's contract without an engine, to end and hang in ways that a real one does only by misfortune. What it
 * does is `behave` in its options.
 */
import { closeSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export type Behaviour =
  | "serve"
  | "exit"
  | "abort"
  | "load-for-ever"
  | "grow"
  | "deaf"
  | "unclaimed"
  | "read-key";

const config = JSON.parse(await text(process.stdin));
const behaviour: Behaviour = config.options.behave;
const say = (line: object) => process.stderr.write(`${JSON.stringify(line)}\n`);

switch (behaviour) {
  case "exit":
    process.stderr.write(
      `cannot go on with ${config.engineKey} and hf_abcdefgh, Authorization: Bearer verysecret\n`,
    );
    process.exit(3);
    break;
  case "abort":
    process.stderr.write("GGML_ASSERT(n_tokens > 0) failed\n");
    process.abort();
    break;
  case "load-for-ever":
    say({ event: "loading", share: 0.25 });
    setInterval(() => {}, 1_000);
    break;
  case "grow":
    for (const kept: Buffer[] = []; ; ) kept.push(Buffer.alloc(64 * 1024 * 1024, 1));
  case "unclaimed":
    say({ event: "draining", why: "unclaimed", active: 0 });
    process.exit(0);
    break;
  case "read-key":
    becomeTheOther();
    for (const path of String(config.options.paths).split("\n")) {
      try {
        readFileSync(path);
        say({ path, read: true });
      } catch (error) {
        say({ path, read: false, code: (error as NodeJS.ErrnoException).code });
      }
    }
    serve();
    break;
  default:
    serve();
}

/** As the real engine does once its code is loaded. */
function becomeTheOther(): void {
  if (config.uid === 0) return;
  process.setgroups?.([]);
  process.setgid?.(config.gid);
  process.setuid?.(config.uid);
}

function serve(): void {
  const server = createServer((request, response) => {
    if (behaviour === "deaf") return;
    const isOurs = request.headers.authorization === `Bearer ${config.engineKey}`;
    response.writeHead(isOurs ? 200 : 401).end();
  });
  process.on("SIGTERM", () => process.exit(0));
  server.listen(0, config.host, () => {
    writeSync(3, `${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`);
    closeSync(3);
    say({ event: "ready" });
  });
}
