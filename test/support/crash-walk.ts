/** Crash tests: a model's whole life, driven by a user who asks again, while the program dies at a named step. */
import assert from "node:assert/strict";
import pg from "pg";
import type { Step } from "../../src/base/steps.ts";
import { at, type Json, list, must, text } from "../../src/main/quickstart/wire.ts";
import type { Cleanup } from "./cleanup.ts";
import { enginesOf } from "./engines.ts";
import { getModel, type TestInstallation, testInstallation, tinyModel, waitFor } from "./installation.ts";

/** A step is reached within the longest pace of the loops that lead to it: metering is the slowest, by the probe interval. */
const DEATH_TIMEOUT_MS = 200_000;
const ORPHAN_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

/** What a user does again when it failed without an answer: with the same Idempotency-Key, until there is one. */
async function until<T>(work: () => Promise<T>, timeoutMs = DEATH_TIMEOUT_MS): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}

/** Deploys, answers (by the owner's key and by the catalogue), lives for a while, pauses, resumes and goes. */
async function life(on: TestInstallation, name: string, longer: Longer | undefined): Promise<void> {
  const { userToken: token, adminToken, userKey } = on.people;
  const deploy = () =>
    on.wire({
      method: "POST",
      path: "/v1/models",
      token,
      body: tinyModel(name),
      idempotencyKey: `deploy-${name}`,
    });
  const modelId = must(await until(deploy), "model", "modelId");
  const model = await until(() => waitFor(on, modelId, "RUNNING"));
  await until(() => ask(must(model, "endpoint"), must(model, "apiKey"), must(model, "servedName")));
  // A name of its own: the owner's alias of the model would be a way past the price.
  const offer = `offer-${name}`;
  await until(() => publishAs(on, modelId, offer, adminToken));
  await until(() => ask(`${on.gatewayUrl()}/v1`, userKey, offer));
  if (longer === "engine") {
    for (const pid of await enginesOf(on.home)) process.kill(pid, "SIGKILL");
    await until(() => ask(must(model, "endpoint"), must(model, "apiKey"), must(model, "servedName")));
  } else if (longer !== undefined) await until(() => windowHas(on, modelId, longer));
  await until(() => verb(on, modelId, "pause"));
  await until(() => waitFor(on, modelId, "PAUSED"));
  await until(() => verb(on, modelId, "resume"));
  await until(() => waitFor(on, modelId, "RUNNING"));
  await until(async () => {
    const answer = await on.wire({ method: "DELETE", path: `/v1/models/${modelId}`, token }).catch(gone);
    if (answer !== undefined) throw new Error("still going");
  });
}

async function gone(error: unknown): Promise<Json | undefined> {
  if (error instanceof Error && "status" in error && error.status === 404) return undefined;
  throw error;
}

async function verb(on: TestInstallation, modelId: string, name: "pause" | "resume"): Promise<void> {
  const want = name === "pause" ? /PAUS/ : /PENDING|PROVISIONING|LOADING|RUNNING/;
  const status = text(at(await getModel(on, modelId), "model", "status"));
  if (want.test(status)) return;
  const path = `/v1/models/${modelId}:${name}`;
  await on.wire({ method: "POST", path, token: on.people.userToken, body: {} });
}

async function publishAs(
  on: TestInstallation,
  modelId: string,
  servedName: string,
  token: string,
): Promise<void> {
  const price = (nanos: number) => ({ currencyCode: "USD", units: "0", nanos });
  const known = await on.wire({ method: "GET", path: "/v1/catalog?pageSize=1000", token });
  if (list(at(known, "entries")).some((entry) => text(at(entry, "servedName")) === servedName)) return;
  await on.wire({
    method: "POST",
    path: "/v1/admin/catalog",
    token,
    body: {
      servedName,
      modelId,
      inputPricePerMillion: price(100_000_000),
      cachedPricePerMillion: price(0),
      outputPricePerMillion: price(400_000_000),
      ownerAgreed: true,
    },
  });
}

async function ask(baseUrl: string, key: string, model: string): Promise<void> {
  const answer = await fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "the first people" }], max_tokens: 8 }),
  });
  const body = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} ${body}`);
  assert.ok(text(at(JSON.parse(body) as Json, "choices", 0, "message", "content")).length > 0);
}

/** Waits until the running window has metered time, or until one was captured at its end. */
async function windowHas(on: TestInstallation, modelId: string, what: "time" | "end"): Promise<void> {
  const sql =
    what === "time"
      ? "select 1 from gpu_slot where model_id = $1 and open_ms > 0"
      : "select 1 from gpu_window where model_id = $1 and state = 'captured'";
  if ((await query(on, sql, [modelId])).rows.length === 0) throw new Error("not yet");
}

async function query(on: TestInstallation, sql: string, values: unknown[] = []): Promise<{ rows: Json[] }> {
  const client = new pg.Client({ connectionString: on.databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query(sql, values);
    return {
      rows: JSON.parse(
        JSON.stringify(rows, (_, value) => (typeof value === "bigint" ? String(value) : value)),
      ),
    };
  } finally {
    await client.end();
  }
}

/** What must be true when everything that was begun has ended, whatever died meanwhile. */
async function settled(on: TestInstallation): Promise<void> {
  const token = on.people.userToken;
  await until(async () => {
    const balance = await on.wire({ method: "GET", path: "/v1/billing/balance", token });
    const held = at(balance, "held");
    // A killed gateway's slices stay held until the ledger settles them; GPU holds end with their machines.
    const open = await query(
      on,
      "select count(*)::int as n from ledger_hold where purpose = 'gpu.window' and state = 'placed'",
    );
    assert.equal(at(open.rows[0] ?? null, "n"), 0, `GPU holds are ended: ${JSON.stringify(held)}`);
  });
  // A deleted model's engine is drained first. An orphan would end by itself after two minutes; this is well before.
  await until(
    async () => assert.deepEqual(await enginesOf(on.home), [], "no engine is left"),
    ORPHAN_TIMEOUT_MS,
  );
  const sums = await query(
    on,
    "select currency, sum(amount)::text as sum from ledger_entry group by currency",
  );
  for (const row of sums.rows) assert.equal(text(at(row, "sum")), "0", "entries sum to zero");
}

/** Installation whose crashed workers' models and keyed calls are taken up soon. */
export function crashInstallation(t: Cleanup): Promise<TestInstallation> {
  return testInstallation(t, { SLIPWAY_WORKER_LEASE_SECONDS: "6", SLIPWAY_DRAIN_MAX_SECONDS: "2" });
}

/** What a life waits for or suffers besides: some metered time, a window's end, the death of its engine. */
type Longer = "time" | "end" | "engine";

/** Steps that a short life does not reach. An owner's pause unroutes by itself; the reconciler does it for a lost replica. */
const LONGER: Partial<Record<Step, Longer>> = {
  "reconcile.unrouted": "engine",
  "reconcile.metered": "time",
  "reconcile.window-captured": "end",
};

/** Runs one life while the program kills itself at `step` and is started again; checks that all of it ends as it should. */
export async function surviveKillAt(on: TestInstallation, step: Step, index: number): Promise<void> {
  const shortest = LONGER[step] === "end" ? { SLIPWAY_GPU_WINDOW_SECONDS: "90" } : {};
  await on.restart({ ...shortest, SLIPWAY_KILL_AT: step });
  const dying = on.program();
  let outcome: "running" | "restarted" | "over" = "running";
  const back = dying.ended.then(async (how) => {
    if (outcome === "over") return;
    assert.equal(how, "SIGKILL", dying.output().slice(-2_000));
    await on.restart(shortest);
    outcome = "restarted";
  });
  await life(on, `life-${index}`, LONGER[step]);
  await Promise.race([back, new Promise((resolve) => setTimeout(resolve, DEATH_TIMEOUT_MS).unref())]);
  const reached = outcome;
  outcome = "over";
  assert.equal(reached, "restarted", `${step} was reached`);
  await settled(on);
}
