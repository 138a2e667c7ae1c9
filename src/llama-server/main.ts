/**
 * The engine process: one model, one replica. A driver starts it with its configuration on stdin and file descriptor 3 open for
 * the address; it logs JSON lines on stderr, and its last words are a line with `event: "failed"`.
 */
import { closeSync, writeSync } from "node:fs";
import type { Server } from "node:http";
import { systemClock } from "../base/clock.ts";
import type { BaseCtx } from "../base/ctx.ts";
import { createLog, type Log } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { StatusError } from "../base/status.ts";
import { type EngineProcessConfig, readConfig } from "./config.ts";
import { type LlamaEngine, loadEngine, loadLibrary } from "./engine.ts";
import { createHttpServer } from "./http.ts";
import { createLifetime } from "./lifetime.ts";
import { createMetrics } from "./metrics.ts";
import { dropPrivileges } from "./privileges.ts";
import { warmUp } from "./warm-up.ts";

/** Where the driver reads the address. */
const ADDRESS_FD = 3;
/** Native memory is given back politely, but never waited for. */
const DISPOSE_MAX_MS = 2_000;

async function main(log: Log): Promise<void> {
  const config = await readConfig(process.stdin);
  const lifetime = createLifetime(config.unclaimedExitMs, log);
  let loading = true;
  process.on("SIGTERM", () => (loading ? process.exit(0) : lifetime.drain("SIGTERM")));

  const ctx = { clock: systemClock, random: systemRandom, log };
  const engine = await load(ctx, config);
  const [modelName = ""] = config.servedNames;
  const metrics = createMetrics(engine.slots, modelName, systemClock);
  const startedAt = Math.floor(systemClock.now().getTime() / 1_000);
  const service = { ...ctx, engine, servedNames: config.servedNames, startedAt, metrics };
  const server = createHttpServer({ service, lifetime, engineKey: config.engineKey });
  const port = await listen(server, config);
  loading = false;
  lifetime.claim(); // the one who started us has the full time from now
  tellAddress(port, log);
  log.info({ event: "ready", name: config.name, port });

  await lifetime.ended;
  server.close();
  await engine.slots.keepAll(); // whoever stops us gives the time for it, or ends us
  await Promise.race([engine.dispose(), systemClock.sleep(DISPOSE_MAX_MS)]);
}

/** Code first, then the lesser user, then files of others. */
async function load(ctx: BaseCtx, config: EngineProcessConfig): Promise<LlamaEngine> {
  const llama = await loadLibrary(config.options.threads, ctx.log);
  dropPrivileges(config);
  const engine = await loadEngine(ctx, llama, config);
  await warmUp(engine);
  return engine;
}

function listen(server: Server, config: EngineProcessConfig): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(config.port, config.host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : config.port);
    });
  });
}

function tellAddress(port: number, log: Log): void {
  try {
    writeSync(ADDRESS_FD, `${JSON.stringify({ port })}\n`);
    closeSync(ADDRESS_FD);
  } catch (error) {
    log.warn({ event: "address", err: error }, "nobody opened file descriptor 3 for the address");
  }
}

/** The process's last words. */
function fail(log: Log, thrown: unknown): never {
  const { reason, message } = StatusError.from(thrown);
  log.fatal({ event: "failed", reason, err: thrown }, message);
  process.exit(1);
}

const log = createLog({ level: "info", name: "engine" });
process.on("uncaughtException", (error) => fail(log, error));
main(log).then(
  () => process.exit(0),
  (error: unknown) => fail(log, error),
);
