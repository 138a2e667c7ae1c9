import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../test/support/gateway/manual-clock.ts";
import { ALICE, BOB, MemoryControl } from "../../test/support/gateway/memory-control.ts";
import { silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { secretBox } from "../base/seal.ts";
import { StatusError } from "../base/status.ts";
import { noSteps } from "../base/steps.ts";
import { GATEWAY_LIMITS } from "./limits.ts";
import { Purse, type Reservation } from "./purse.ts";

const FREE = 10_000n;

function world(limits = {}) {
  const clock = new ManualClock();
  const control = new MemoryControl();
  for (const user of [ALICE, BOB]) control.balances.set(user, FREE);
  const deps = {
    clock,
    random: systemRandom,
    log: silentLog,
    steps: noSteps,
    gatewayId: "g",
    box: secretBox("a secret of at least thirty-two characters"),
    usageLogDir: "",
    limits: { ...GATEWAY_LIMITS, ...limits },
    control,
    version: "1",
  };
  const shipped: string[] = [];
  const purse: Purse = new Purse(deps, async () => purse.shipped(shipped.splice(0)));
  const reserve = (user: string, nanos: bigint, ms = 1_000) =>
    purse.reserve(user, nanos, clock.monotonicMs() + ms);
  return { clock, control, purse, shipped, reserve };
}

const isTooLow = (error: unknown) => error instanceof StatusError && error.reason === "BALANCE_TOO_LOW";

test("under any history no slice promises more than it holds, and all of the balance comes back but what was charged", async () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant("reserve" as const),
      user: fc.constantFrom(ALICE, BOB),
      nanos: fc.bigInt({ min: 1n, max: 4_000n }),
    }),
    fc.record({
      kind: fc.constant("settle" as const),
      which: fc.nat(),
      share: fc.integer({ min: 0, max: 100 }),
    }),
    fc.record({ kind: fc.constant("ship" as const) }),
    fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
    fc.record({ kind: fc.constant("recall" as const), which: fc.nat() }),
    fc.record({ kind: fc.constant("tidy" as const) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 50 }), async (steps) => {
      const { clock, control, purse, shipped, reserve } = world({ sliceIdleMs: 30_000 });
      control.sliceMs = 60_000;
      const open: Reservation[] = [];
      const promised = new Map<string, bigint>();
      const add = (id: string, nanos: bigint) => promised.set(id, (promised.get(id) ?? 0n) + nanos);
      let charged = 0n;
      const settle = (one: Reservation, share: number) => {
        const charge = (one.amountNanos * BigInt(share)) / 100n;
        one.settle(charge, true);
        one.settle(one.amountNanos, true); // a second time changes nothing
        add(one.sliceId, charge - one.amountNanos);
        const slice = control.slices.get(one.sliceId);
        assert.ok(slice && !slice.closed, "a slice is not closed under a request");
        slice.capturedNanos += charge;
        charged += charge;
        shipped.push(one.sliceId);
      };
      for (const one of steps) {
        if (one.kind === "reserve") {
          const got = await reserve(one.user, one.nanos).catch((error: unknown) => {
            assert.ok(isTooLow(error), String(error));
            return undefined;
          });
          if (got) {
            open.push(got);
            add(got.sliceId, got.amountNanos);
            assert.equal(control.slices.get(got.sliceId)?.userId, one.user);
            assert.equal(control.slices.get(got.sliceId)?.closed, false);
          }
        } else if (one.kind === "settle" && open.length > 0) {
          const [taken] = open.splice(one.which % open.length, 1);
          if (taken) settle(taken, one.share);
        } else if (one.kind === "ship") purse.shipped(shipped.splice(0));
        else if (one.kind === "pass") await clock.advance(Math.min(one.ms, 2_000));
        else if (one.kind === "recall" && control.slices.size > 0)
          purse.recall([...control.slices.keys()][one.which % control.slices.size] ?? "");
        else if (one.kind === "tidy") await purse.tidy();
        for (const [id, nanos] of promised) {
          const slice = control.slices.get(id);
          assert.ok(slice && nanos <= slice.amountNanos, "a slice covers all that was promised from it");
        }
      }
      for (const one of open.splice(0)) settle(one, 100);
      purse.shipped(shipped.splice(0));
      await purse.tidy(true);
      assert.equal(purse.size, 0);
      const left = [ALICE, BOB].reduce((sum, user) => sum + (control.balances.get(user) ?? 0n), 0n);
      assert.equal(left + charged, FREE * 2n);
    }),
    { numRuns: 80 },
  );
});

test("a request is served under a slice that outlasts it; where none does its deadline gives way", async () => {
  const { clock, control, purse, reserve } = world();
  control.sliceMs = 10_000;
  const first = await reserve(ALICE, 100n, 10_000);
  assert.ok(first.deadlineAt <= clock.monotonicMs() + 10_000);
  first.settle(0n, false);
  control.slices.clear();
  await clock.advance(4_000);
  assert.ok(purse.largest(ALICE, clock.monotonicMs() + 5_000) > 0n);
  await clock.advance(3_000);
  assert.equal(purse.largest(ALICE, clock.monotonicMs() + 10_000), 0n, "3 s are too few for 10");
  const next = await reserve(ALICE, 100n, 10_000);
  assert.notEqual(next.sliceId, first.sliceId === next.sliceId ? "" : first.sliceId);
  assert.ok(next.deadlineAt > clock.monotonicMs() + 9_000);
});

test("a late answer of the ledger does not lengthen the lease", async () => {
  const { clock, control, reserve } = world();
  control.sliceMs = 5_000;
  const lease = control.leaseSlice.bind(control);
  control.leaseSlice = async (input) => {
    await clock.sleep(2_000);
    return lease(input);
  };
  const asked = clock.monotonicMs();
  const reserving = reserve(ALICE, 10n, 60_000);
  await clock.advance(2_100);
  assert.equal((await reserving).deadlineAt, asked + 5_000);
});

test("small leftovers of one's own slices are no reason to be refused", async () => {
  const { control, purse, shipped, reserve } = world();
  control.balances.set(ALICE, 1_000n);
  const one = await reserve(ALICE, 500n);
  const two = await reserve(ALICE, 500n);
  assert.equal(control.balances.get(ALICE), 0n);
  for (const reservation of [one, two]) {
    reservation.settle(100n, true);
    const slice = control.slices.get(reservation.sliceId);
    if (slice) slice.capturedNanos = 100n;
    shipped.push(reservation.sliceId);
  }
  const third = await reserve(ALICE, 700n);
  assert.equal(third.amountNanos, 700n);
  third.settle(0n, false);
  await assert.rejects(reserve(ALICE, 900n), isTooLow);
  await purse.tidy(true);
  assert.equal(control.balances.get(ALICE), 800n);
});

test("idle, ended and recalled slices are closed once all their usage is in the ledger", async () => {
  const { clock, control, purse, reserve } = world({ sliceIdleMs: 1_000 });
  const closed = () => [...control.slices.values()].filter((slice) => slice.closed).length;
  const first = await reserve(ALICE, 10n);
  await clock.advance(2_000);
  await purse.tidy();
  assert.equal(closed(), 0, "a request is under way");
  first.settle(1n, true);
  await clock.advance(2_000);
  await purse.tidy();
  assert.equal(closed(), 0, "its usage is not shipped");
  purse.shipped([first.sliceId]);
  await purse.tidy();
  assert.equal(closed(), 1);
  const second = await reserve(BOB, 10n);
  second.settle(0n, false);
  await purse.tidy();
  assert.equal(closed(), 1, "it may be used again");
  purse.recall(second.sliceId);
  await assert.doesNotReject(
    reserve(BOB, 10n).then((third) => assert.notEqual(third.sliceId, second.sliceId)),
  );
  await purse.tidy();
  assert.equal(closed(), 2);
});

test("requests of one user that come together lease once where one lease is enough", async () => {
  const { control, reserve } = world();
  const lease = control.leaseSlice.bind(control);
  control.leaseSlice = (input) => lease({ ...input, wantNanos: input.wantNanos * 8n });
  await Promise.all(Array.from({ length: 8 }, () => reserve(ALICE, 10n)));
  assert.equal(control.calls.leases, 1);
});

test("a slice whose end the ledger did not hear of is told again, so that its money is not tied up until it settles", async () => {
  const { clock, control, purse, reserve } = world({ sliceIdleMs: 1_000 });
  (await reserve(ALICE, 100n)).settle(0n, false);
  control.down = true;
  await clock.advance(2_000);
  await purse.tidy();
  assert.equal(purse.size, 0, "nothing is served under it any more");
  assert.ok((control.balances.get(ALICE) ?? 0n) < FREE);
  await purse.tidy();
  control.down = false;
  await purse.tidy();
  assert.equal(control.balances.get(ALICE), FREE);
});

test("a lease whose answer is lost is closed by its name", async () => {
  const { control, purse, reserve } = world();
  const closed: string[] = [];
  const asked: string[] = [];
  const lease = control.leaseSlice.bind(control);
  control.leaseSlice = async (input) => {
    asked.push(input.sliceId ?? "");
    await lease(input);
    throw new Error("the connection was lost");
  };
  control.closeSlice = async (sliceId) => void closed.push(sliceId);
  await assert.rejects(reserve(ALICE, 100n), { reason: "UNAVAILABLE" });
  await purse.tidy();
  await purse.tidy();
  assert.deepEqual(closed, asked);
});

test("giving back leaves alone what a request has taken meanwhile", async () => {
  const { control, purse, shipped, reserve } = world();
  control.balances.set(ALICE, 1_000n);
  const [one, two] = [await reserve(ALICE, 500n), await reserve(ALICE, 500n)];
  for (const { settle, sliceId } of [one, two]) {
    settle(0n, true);
    shipped.push(sliceId);
  }
  const close = control.closeSlice.bind(control);
  let meanwhile: Promise<Reservation> | undefined;
  control.closeSlice = async (sliceId) => {
    meanwhile ??= reserve(ALICE, 400n);
    await meanwhile;
    await close(sliceId);
  };
  await assert.rejects(reserve(ALICE, 700n), isTooLow);
  const taken = await meanwhile;
  assert.ok(taken);
  assert.equal(control.slices.get(taken.sliceId)?.closed, false, "a slice is not closed under a request");
  taken.settle(0n, false);
  await purse.tidy(true);
  assert.equal(control.balances.get(ALICE), 1_000n);
});
