/**
 * What idle running models cost a worker: CPU of the reconciler and of its database as a share of one core, per 1,000 models.
 *
 *   node bench/idle.ts [MODELS]
 *
 * The reconciler, the probe's HTTP and Postgres are the real ones; machines are answered for by one fast engine in a process of
 * its own, since what engines cost is not the worker's. Windows of 15 minutes begin and end outside of the measured time.
 */

import { type ChildProcess, fork } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { systemClock } from "../src/base/clock.ts";
import { silentLog } from "../src/base/log.ts";
import { systemRandom } from "../src/base/random.ts";
import { secretBox } from "../src/base/seal.ts";
import { noSteps } from "../src/base/steps.ts";
import * as billing from "../src/billing/index.ts";
import type { DbCtx } from "../src/db/db.ts";
import { createUser } from "../src/identity/index.ts";
import { modelNews } from "../src/main/news.ts";
import {
  createModelChanges,
  deployModel,
  httpCompletionProbe,
  installationId,
  LIMITS,
  type ModelsDeps,
  runReconciler,
} from "../src/models/index.ts";
import type { Driver } from "../src/providers/driver.ts";
import { simEngine, WEIGHTS } from "../test/sim/world.ts";
import type { Cleanup } from "../test/support/cleanup.ts";
import { deployInput } from "../test/support/models.ts";
import { testDatabase } from "../test/support/postgres.ts";
import { withCleanup } from "./support.ts";

const MODELS = Number(process.argv[2] ?? 1_000);
const READY_TIMEOUT_MS = 300_000;
const SETTLE_MS = 10_000;
const MEASURE_MS = 60_000;
const TICKS_PER_SECOND = 100;
const ENGINE = "engine";

if (process.argv[2] === ENGINE) serveEngine();
else {
  await withCleanup(measure);
  process.exit(0);
}

async function measure(t: Cleanup): Promise<void> {
  const engine = await startEngine(t);
  const { db, url } = await testDatabase(t, { connectionsMax: 10 });
  const ctx: DbCtx = { db, clock: systemClock, random: systemRandom, log: silentLog };
  const probe = httpCompletionProbe();
  t.after(() => probe.close());
  const deps = await modelsDeps(ctx, engine.port, probe);
  const ownerId = await richOwner(ctx);
  for (let n = 0; n < MODELS; n++)
    await deployModel(ctx, deps, { ...deployInput(ownerId), modelName: `idle-${n}` });

  const ending = new AbortController();
  const running = runReconciler(ctx, deps, ending.signal);
  t.after(async () => {
    ending.abort();
    await running;
  });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  t.after(() => client.end());
  await untilRunning(client);
  await sleep(SETTLE_MS);

  const cpuBefore = process.cpuUsage();
  const databaseBefore = await databaseCpu(client);
  const probesBefore = await engine.completions();
  await sleep(MEASURE_MS);
  const own = process.cpuUsage(cpuBefore);
  const database = (await databaseCpu(client)) - databaseBefore;
  const probes = (await engine.completions()) - probesBefore;

  const seconds = MEASURE_MS / 1_000;
  const share = (spent: number) => `${((spent / seconds) * 100 * (1_000 / MODELS)).toFixed(2)} %`;
  const still = await countRunning(client);
  console.log(`${still} of ${MODELS} models run; ${(probes / seconds).toFixed(1)} probes/s`);
  const [user, kernel] = [share(own.user / 1e6), share(own.system / 1e6)];
  console.log(
    `per 1,000 idle models: worker ${user} of a core and ${kernel} in the kernel; database ${share(database)}`,
  );
}

async function modelsDeps(ctx: DbCtx, port: number, probe: ModelsDeps["probe"]): Promise<ModelsDeps> {
  await billing.configureBilling(ctx, { currency: "USD", payments: "off" });
  const price = { region: "", gpuType: "UNSPECIFIED", currency: "USD", validFrom: null } as const;
  await billing.setGpuPrice(ctx, { ...price, provider: "ONPREM", nanosPerHour: 1_000_000n });
  return {
    drivers: [everythingUp(ctx, port)],
    engines: [simEngine],
    weights: { resolve: async (_ctx, { source }) => ({ ...WEIGHTS, source }) },
    box: secretBox("a secret of the bench, long enough to be one"),
    installationId: await installationId(ctx),
    gatewayUrl: () => "http://gateway",
    limits: LIMITS,
    steps: noSteps,
    probe,
    billing,
    changes: createModelChanges(),
    news: modelNews,
  };
}

async function richOwner(ctx: DbCtx): Promise<string> {
  const owner = await createUser(ctx, { role: "USER", displayName: "Owner" });
  const admin = await createUser(ctx, { role: "ADMIN", displayName: "Admin" });
  await billing.grantCredit(ctx, {
    operatorId: admin.id,
    userId: owner.id,
    amount: { currency: "USD", nanos: 1_000_000_000_000_000n },
    reason: "bench",
    key: "bench",
  });
  return owner.id;
}

/** A provider where every machine that was asked for is up, and is the one engine. */
function everythingUp(ctx: DbCtx, port: number): Driver {
  const asked = new Set<string>();
  return {
    provider: "ONPREM",
    name: "local",
    createIsIdempotent: true,
    offers: async () => [
      {
        region: "local",
        reach: "direct",
        gpuType: "UNSPECIFIED",
        gpuCountMax: 0,
        gpuMemoryBytes: 0,
        cpuMemoryBytes: 2 ** 40,
        cpuCount: 1_024,
        nodeIds: [],
      },
    ],
    apply: async (_ctx, spec) => void asked.add(spec.name),
    observe: async (_ctx, names) =>
      names.map((name) => {
        const at = ctx.clock.now();
        if (!asked.has(name)) return { name, at, phase: "absent" };
        return { name, at, phase: "up", address: { host: "127.0.0.1", port } };
      }),
    remove: async (_ctx, name) => void asked.delete(name),
    list: async () => [],
    async *logs() {},
  };
}

interface Engine {
  readonly port: number;
  completions(): Promise<number>;
}

async function startEngine(t: Cleanup): Promise<Engine> {
  const child = fork(fileURLToPath(import.meta.url), [ENGINE]);
  t.after(() => void child.kill());
  const port = await told(child);
  return {
    port,
    completions: () => {
      child.send("count");
      return told(child);
    },
  };
}

function told(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => child.once("message", (number) => resolve(Number(number))));
}

/** Answers every completion at once; says its port, and on any message how many there were. */
function serveEngine(): void {
  let completions = 0;
  const answer = JSON.stringify({
    id: "x",
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: "a" }, finish_reason: "length" }],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  });
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      completions++;
      response
        .writeHead(200, { "content-type": "application/json", "content-length": answer.length })
        .end(answer);
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    process.send?.(typeof address === "object" && address !== null ? address.port : 0);
  });
  process.on("message", () => process.send?.(completions));
}

async function untilRunning(client: pg.Client): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while ((await countRunning(client)) < MODELS) {
    if (performance.now() > deadline) throw new Error(`only ${await countRunning(client)} models run`);
    await sleep(1_000);
  }
}

async function countRunning(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    "select count(*)::int as n from model where status = 'RUNNING'",
  );
  return rows[0]?.n ?? 0;
}

/** CPU seconds of all Postgres backends that serve this database. */
async function databaseCpu(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>(
    "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
  );
  let sum = 0;
  for (const { pid } of rows) sum += await cpuSeconds(pid).catch(() => 0);
  return sum;
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
