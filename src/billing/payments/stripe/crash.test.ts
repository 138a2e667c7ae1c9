/** kill -9 between any two steps of a payment and of a refund: what cards paid and got back is what the books say. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { CURRENCY, units } from "../../../../test/support/billing.ts";
import type { PayerOrder } from "../../../../test/support/stripe/payer.ts";
import { SECRET_KEY, type StripeWorld, stripeWorld } from "../../../../test/support/stripe/world.ts";
import { auditLedger, balanceOf, pollEvents, resumePayments, resumeRefunds } from "../../index.ts";

const PAYER = fileURLToPath(new URL("../../../../test/support/stripe/payer.ts", import.meta.url));
/** Far more statements than either has; a walk that does not end is a fault of the test. */
const STATEMENTS_MAX = 60;
/** Every third statement of what is longer than a top-up; the acceptance run takes each. */
const STRIDE = Number(process.env.SLIPWAY_CRASH_STRIDE ?? "3");

/** True when the process lived to its end, false when it died by our hand. */
async function survives({ f, fake }: StripeWorld, change: Partial<PayerOrder>): Promise<boolean> {
  const order: PayerOrder = {
    databaseUrl: f.url,
    stripe: { secretKey: SECRET_KEY, webhookSecret: undefined, apiUrl: fake.url },
    userId: f.userId,
    nanos: units(5).toString(),
    currency: CURRENCY,
    key: "k",
    killAt: 0,
    nowMs: f.now().getTime(),
    ...change,
  };
  const child = spawn(process.execPath, [PAYER], { stdio: ["pipe", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (part: Buffer) => {
    errors += part.toString();
  });
  child.stdin.end(JSON.stringify(order));
  const [code, signal] = await once(child, "close");
  assert.ok(code === 0 || signal === "SIGKILL", errors);
  return code === 0;
}

async function goOn({ f, stripe }: StripeWorld): Promise<void> {
  f.advance(61_000);
  await resumePayments(f.ctx, stripe, { now: f.now() });
  await resumeRefunds(f.ctx, stripe, { now: f.now() });
  await pollEvents(f.ctx, stripe, { now: f.now() });
}

async function booksAgree({ f, fake }: StripeWorld): Promise<void> {
  const refunded = [...fake.books.refunds.values()].reduce((total, { amount }) => total + Number(amount), 0);
  const { totalNanos, heldNanos } = await balanceOf(f.ctx, f.userId);
  assert.equal(totalNanos, BigInt(fake.books.succeeded() - refunded) * 10_000_000n);
  assert.equal(heldNanos, 0n);
  assert.deepEqual(await auditLedger(f.ctx), { unbalancedTransfers: 0, wrongBalances: 0 });
}

test("a top-up killed before any of its statements is credited as often as the card paid", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  let killAt = 1;
  while (!(await survives(world, { key: `k-${killAt}`, killAt }))) {
    assert.ok(killAt < STATEMENTS_MAX);
    await goOn(world);
    await booksAgree(world);
    killAt += 1;
  }
  await booksAgree(world);
  assert.ok(killAt > 5, `${killAt} statements`);
  // Asked again under the keys of the dead, none pays twice.
  for (let at = 1; at < killAt; at++) await world.pay({ key: `k-${at}` });
  assert.equal(world.fake.books.payments.size, killAt);
  await booksAgree(world);
});

test("a pass over the list of events killed between its statements applies each event once", async (t) => {
  const world = await stripeWorld(t);
  await world.attach("pm_card_authenticationRequired");
  let killAt = 1;
  for (;;) {
    assert.ok(killAt < STATEMENTS_MAX);
    const { processorId } = await world.pay();
    world.fake.books.holder(processorId, "confirms");
    // Beyond what is read twice: each pass has the same number of statements.
    world.f.advance(10 * 60_000);
    if (await survives(world, { polls: true, killAt })) break;
    await goOn(world);
    await booksAgree(world);
    killAt += STRIDE;
  }
  assert.ok(killAt > 5, `${killAt} statements`);
  await booksAgree(world);
});

test("a refund killed between its statements leaves nothing held, and pays out what the books lost", async (t) => {
  const world = await stripeWorld(t);
  await world.attach();
  const { processorId: refundOf } = await world.pay({ nanos: units(1_000) });
  let killAt = 1;
  while (!(await survives(world, { refundOf, key: `k-${killAt}`, killAt }))) {
    assert.ok(killAt < STATEMENTS_MAX);
    await goOn(world);
    await booksAgree(world);
    killAt += STRIDE;
  }
  assert.ok(killAt > 5, `${killAt} statements`);
  await booksAgree(world);
});
