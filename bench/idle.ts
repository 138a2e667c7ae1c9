/** What idle running models cost a worker: its CPU as a share of one core, per 1,000 models. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import pg from "pg";
import { must } from "../src/main/quickstart/wire.ts";
import { deployRunning, testInstallation } from "../test/support/installation.ts";
import { withCleanup } from "./support.ts";

const MODELS = Number(process.argv[2] ?? 1_000);
const SETTLE_MS = 30_000;
const MEASURE_MS = 60_000;
const TICKS_PER_SECOND = 100;

/** CPU seconds of a process and its children that ended. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** CPU of all Postgres backends that serve this database. */
async function databaseCpu(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>(
    "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
  );
  let sum = 0;
  for (const { pid } of rows) sum += await cpuSeconds(pid).catch(() => 0);
  return sum;
}

/** An engine that answers at once: the engines' own cost is not the worker's. */
function fastEngine(): Promise<{ port: number; close(): void; completions(): number }> {
  let completions = 0;
  const answer = JSON.stringify({
    id: "x",
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: "a" }, finish_reason: "length" }],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  });
  const server = createServer((request, response) => {
    request.resume().on("end", () => {
      if (request.method === "POST") completions++;
      response
        .writeHead(200, { "content-type": "application/json", "content-length": answer.length })
        .end(answer);
    });
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      resolve({ port, close: () => void server.close(), completions: () => completions });
    });
  });
}

await withCleanup(async (t) => {
  const engine = await fastEngine();
  t.after(engine.close);
  const on = await testInstallation(t, { SLIPWAY_LOG_LEVEL: "error" });
  await on.wire({
    method: "POST",
    path: "/v1/admin/billing/balances:add",
    token: on.people.adminToken,
    body: { targetUserId: on.people.userId, amount: { currencyCode: "USD", units: "100000", nanos: 0 } },
  });
  const model = await deployRunning(on, "first");
  const client = new pg.Client({ connectionString: on.databaseUrl });
  await client.connect();
  t.after(() => client.end());
  await copyModels(client, must(model, "modelId"), engine.port);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const pid = on.program().child.pid ?? 0;
  const before = {
    worker: await cpuSeconds(pid),
    database: await databaseCpu(client),
    probes: engine.completions(),
  };
  await new Promise((resolve) => setTimeout(resolve, MEASURE_MS));
  const seconds = MEASURE_MS / 1_000;
  const share = (spent: number) => ((spent / seconds) * 100 * 1_000) / MODELS;
  const worker = share((await cpuSeconds(pid)) - before.worker);
  const database = share((await databaseCpu(client)) - before.database);
  const probes = engine.completions() - before.probes;
  const still = await client.query<{ n: number }>(
    "select count(*)::int as n from model where status = 'RUNNING'",
  );
  console.log(`${still.rows[0]?.n} of ${MODELS + 1} models run; ${(probes / seconds).toFixed(1)} probes/s`);
  console.log(
    `per 1,000 idle models: worker ${worker.toFixed(2)} % of a core, database ${database.toFixed(2)} %`,
  );
});
process.exit(0);

/** Copies of a running model and its attempt, with their own windows, that lead to the fast engine. */
async function copyModels(client: pg.Client, modelId: string, port: number): Promise<void> {
  await client.query("begin");
  await client.query(
    `create temporary table copy as select gen_random_uuid() as id, gen_random_uuid() as deployment_id, n
     from generate_series(1, $1::int) n`,
    [MODELS],
  );
  await copy(client, "model", "m.id = $1", modelId, "from model m, copy c", {
    id: "c.id",
    deployment_id: "c.deployment_id",
    name: "'copy-' || c.n",
    served_name: "'copy-' || c.n",
    next_check_at: "m.next_check_at + (c.n % 20) * interval '1 second'",
    claimed_until: "null",
  });
  await copy(client, "model_attempt", "m.model_id = $1 and m.live", modelId, "from model_attempt m, copy c", {
    name: "'copy-' || c.n",
    model_id: "c.id",
    driver: "'bench'",
    host: "'127.0.0.1'",
    port: String(port),
  });
  await client.query("commit");
}

async function copy(
  client: pg.Client,
  table: string,
  where: string,
  modelId: string,
  from: string,
  changed: Readonly<Record<string, string>>,
): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    "select column_name as name from information_schema.columns where table_name = $1 order by ordinal_position",
    [table],
  );
  const names = rows.map((row) => row.name);
  const values = names.map((name) => changed[name] ?? `m.${name}`);
  await client.query(
    `insert into ${table} (${names.join(", ")}) select ${values.join(", ")} ${from} where ${where}`,
    [modelId],
  );
}
