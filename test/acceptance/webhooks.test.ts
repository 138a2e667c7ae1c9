/** Webhooks of the whole program: what really happens is told, also when a worker dies at any step of telling it, and no secret shows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { Webhook } from "standardwebhooks";
import { STEPS, type Step } from "../../src/base/steps.ts";
import { at, type Json, list, must, text } from "../../src/main/quickstart/wire.ts";
import { deployRunning, type TestInstallation, testInstallation } from "../support/installation.ts";
import { type Receiver, receiver } from "../support/receiver.ts";

const PATIENCE_MS = 60_000;
const POLL_MS = 100;

interface Told {
  readonly id: string;
  readonly type: string;
  readonly sequence: number;
  readonly data: Json;
}

/** What arrived, each message verified by the library that receivers use. */
function told(at: Receiver, secret: string): readonly Told[] {
  const webhook = new Webhook(secret);
  return at.received.map(({ body, headers }) => {
    const event = webhook.verify(body, headers as Record<string, string>) as Omit<Told, "id">;
    return { ...event, id: String(headers["webhook-id"]) };
  });
}

async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`still waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function query(on: TestInstallation, sql: string): Promise<readonly Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: on.databaseUrl });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Every row of every table, as text. */
async function everything(on: TestInstallation): Promise<string> {
  const tables = await query(on, "select tablename from pg_tables where schemaname = 'public'");
  const rows = await Promise.all(
    tables.map(({ tablename }) =>
      query(on, `select coalesce(string_agg(to_jsonb(t)::text, e'\\n'), '') as text from "${tablename}" t`),
    ),
  );
  return rows.map(([row]) => String(row?.text)).join("\n");
}

test("models and payments are told, a worker killed at any step tells again under the same id, and no secret shows", async (t) => {
  const hooks = await receiver(t);
  const on = await testInstallation(t, { SLIPWAY_WEBHOOK_HOSTS: hooks.host, SLIPWAY_LOG_LEVEL: "trace" });
  const outputs: string[] = [];
  const token = on.people.userToken;
  const post = (path: string, body: Json) => on.wire({ method: "POST", path, token, body });
  const made = await post("/v1/webhooks/endpoints", { url: hooks.url });
  const secret = must(made, "endpoint", "secret");
  const endpointId = must(made, "endpoint", "endpointId");

  await t.test("what happens to a model and to payments arrives, signed", async () => {
    const model = await deployRunning(on, "told");
    const modelId = must(model, "modelId");
    const stripePaymentMethodId = "pm_card_visa_chargeDeclined";
    await post("/v1/billing/stripe/customers/payment-methods", { stripePaymentMethodId });
    const amount = { currencyCode: "USD", units: "7", nanos: 0 };
    const declined = post("/v1/billing/stripe/payment-intents", { amount, stripePaymentMethodId });
    await assert.rejects(declined, /declined/);
    await on.wire({ method: "DELETE", path: `/v1/models/${modelId}`, token });
    const events = await until("the model's end and the payment's", () => {
      const all = told(hooks, secret);
      const gone = all.some((one) => text(at(one.data, "status")) === "MODEL_STATUS_DELETED");
      return gone && all.some((one) => one.type === "payment.failed") ? all : undefined;
    });
    const moves = events
      .filter((one) => one.type === "model.status_changed")
      .sort((a, b) => a.sequence - b.sequence);
    assert.ok(moves.every((one) => text(at(one.data, "modelId")) === modelId));
    const statuses = moves.map((one) => text(at(one.data, "status")).replace("MODEL_STATUS_", ""));
    assert.equal(statuses[0], "PENDING");
    assert.deepEqual(statuses.slice(-3), ["RUNNING", "DELETING", "DELETED"]);
  });

  const anEvent = told(hooks, secret)[0]?.id ?? "";
  const deliveries = await on.wire({ method: "GET", path: "/v1/webhooks/deliveries?pageSize=1000", token });
  const first = list(at(deliveries, "deliveries")).find((one) => text(at(one, "eventId")) === anEvent);
  const deliveryId = must(first ?? null, "deliveryId");
  const expected: Partial<Record<Step, number>> = { "webhooks.sent": 2 };
  for (const step of STEPS.filter((name) => name.startsWith("webhooks."))) {
    await t.test(`killed at ${step}`, async () => {
      outputs.push(on.program().output());
      await on.restart({ SLIPWAY_KILL_AT: step });
      const before = hooks.received.length;
      const path = `/v1/webhooks/deliveries/${deliveryId}:replay`;
      const replay = () => on.wire({ method: "POST", path, token, body: {}, idempotencyKey: step });
      await replay().catch(() => {}); // it may die before it answers
      assert.equal(await on.program().ended, "SIGKILL");
      outputs.push(on.program().output());
      // The claim of the dead worker would lapse in a minute.
      await query(on, "update webhook_delivery set claimed_until = now() where claimed_until is not null");
      await on.restart();
      const made = must(await replay(), "delivery", "deliveryId");
      await until("the delivery", async () => {
        const answer = await on.wire({ method: "GET", path: `/v1/webhooks/deliveries/${made}`, token });
        return text(at(answer, "delivery", "status")).endsWith("_DELIVERED") || undefined;
      });
      const again = told(hooks, secret).slice(before);
      assert.equal(again.filter((one) => one.id === anEvent).length, expected[step] ?? 1);
    });
  }

  await t.test("no secret is in any row, message, answer or log line", async () => {
    const rotated = await post(`/v1/webhooks/endpoints/${endpointId}:rotateSecret`, {});
    const shown = await on.wire({ method: "GET", path: "/v1/webhooks/endpoints", token });
    outputs.push(on.program().output());
    const places = [
      ["the database", await everything(on)],
      ["messages", JSON.stringify(hooks.received)],
      ["answers", JSON.stringify([shown, deliveries])],
      ["logs", outputs.join("\n")],
    ] as const;
    assert.ok(places.every(([, found]) => found.length > 200));
    for (const planted of [secret, must(rotated, "endpoint", "secret"), token, on.people.userKey]) {
      const bare = planted.replace(/^whsec_/, "");
      for (const [place, found] of places) assert.ok(!found.includes(bare), `a secret is in ${place}`);
    }
  });
});
