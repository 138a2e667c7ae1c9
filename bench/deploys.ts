/** Accepted deploys a second and their p50 and p99, with more and more models present: the curve should stay flat. */
import pg from "pg";
import { at, must, text } from "../src/main/quickstart/wire.ts";
import { type TestInstallation, testInstallation, tinyModel } from "../test/support/installation.ts";
import { percentile, withCleanup } from "./support.ts";

const LEVELS = [100, 10_000, 100_000];
const DEPLOYS = 300;
const CLIENTS = 8;
const WARM_UP = 50;

/** Copies of one model, asleep: present in every index, due never. */
async function fillTo(databaseUrl: string, modelId: string, count: number): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const columns = await client.query<{ name: string }>(
      "select column_name as name from information_schema.columns where table_name = 'model' order by ordinal_position",
    );
    const changed: Record<string, string> = {
      id: "gen_random_uuid()",
      deployment_id: "gen_random_uuid()",
      name: "'copy-' || n",
      served_name: "'copy-' || gen_random_uuid()",
      status: "'RUNNING'",
      next_check_at: "null",
    };
    const names = columns.rows.map((row) => row.name);
    const values = names.map((name) => changed[name] ?? `m.${name}`);
    await client.query(
      `insert into model (${names.join(", ")}) select ${values.join(", ")} from model m,
       generate_series((select count(*)::int from model), $2::int - 1) n where m.id = $1`,
      [modelId, count],
    );
    await client.query("analyze model");
  } finally {
    await client.end();
  }
}

async function deployMany(on: TestInstallation, prefix: string, count: number): Promise<number[]> {
  const taken: number[] = [];
  let next = 0;
  const client = async () => {
    for (let index = next++; index < count; index = next++) {
      const began = performance.now();
      await on.wire({
        method: "POST",
        path: "/v1/models",
        token: on.people.userToken,
        body: tinyModel(`${prefix}-${index}`),
      });
      taken.push(performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return taken.sort((one, other) => one - other);
}

await withCleanup(async (t) => {
  const on = await testInstallation(t, {
    SLIPWAY_LOG_LEVEL: "error",
    SLIPWAY_TOKEN_REQUESTS_PER_MINUTE: "0",
    SLIPWAY_ADDRESS_REQUESTS_PER_MINUTE: "0",
    SLIPWAY_ADJUSTMENT_ALONE_MAX: "1000000",
  });
  await on.wire({
    method: "POST",
    path: "/v1/admin/billing/balances:add",
    token: on.people.adminToken,
    body: { targetUserId: on.people.userId, amount: { currencyCode: "USD", units: "1000000", nanos: 0 } },
  });
  // Only the control plane: what a worker does with the models is another bench.
  await on.restart({}, "api");
  const first = await on.wire({
    method: "POST",
    path: "/v1/models",
    token: on.people.userToken,
    body: tinyModel("first"),
  });
  const modelId = must(first, "model", "modelId");
  if (text(at(first, "model", "status")) === "") throw new Error("the first deploy has no status");
  await deployMany(on, "warm-up", WARM_UP);
  let base = Number.NaN;
  console.log(
    `models    deploys/s   p50 ms   p99 ms   p99 ÷ p99 at ${LEVELS[0]}   (${CLIENTS} clients, ${DEPLOYS} deploys)`,
  );
  for (const level of LEVELS) {
    await fillTo(on.databaseUrl, modelId, level);
    const began = performance.now();
    const taken = await deployMany(on, `at-${level}`, DEPLOYS);
    const rate = DEPLOYS / ((performance.now() - began) / 1_000);
    const p99 = percentile(taken, 0.99);
    if (Number.isNaN(base)) base = p99;
    console.log(
      `${String(level).padStart(7)} ${rate.toFixed(0).padStart(11)} ${percentile(taken, 0.5).toFixed(1).padStart(8)} ${p99.toFixed(1).padStart(8)} ${(p99 / base).toFixed(2).padStart(10)}`,
    );
  }
});
process.exit(0);
