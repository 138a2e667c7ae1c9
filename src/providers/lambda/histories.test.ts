/**
 * Exactly one machine: histories of workers that come and go while Lambda loses answers, refuses, lies and hurries, asked as the
 * reconciler asks. The seeds are fixed; SLIPWAY_LAMBDA_HISTORIES plays more.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { virtualClock } from "../../../test/sim/chance.ts";
import { type Account, accountDriver, lambdaAccount } from "../../../test/support/lambda/account.ts";
import type { FakeFault } from "../../../test/support/lambda/fake-lambda.ts";
import { type Chance, chanceOf } from "../../base/chance.ts";
import type { BaseCtx } from "../../base/ctx.ts";
import { silentLog } from "../../base/log.ts";
import { systemRandom } from "../../base/random.ts";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec } from "../driver.ts";
import { replicaName } from "../replica-name.ts";
import type { LambdaDriver } from "./index.ts";
import type { LaunchGate } from "./options.ts";

const HISTORIES = Number(process.env.SLIPWAY_LAMBDA_HISTORIES ?? 15);
const STEPS_MAX = 30;
/** After an unclear create, the name must have stayed absent for so long. */
const UNCLEAR_MS = 121_000;

const LAUNCH = "POST /instance-operations/launch";
const LIST = "GET /instances";
const TERMINATE = "POST /instance-operations/terminate";
const refused = (status: number, code: string) => ({ kind: "answer", status, code, message: "" }) as const;

const FAULTS: readonly FakeFault[] = [
  { on: LAUNCH, kind: "reply-lost" },
  { on: LAUNCH, kind: "accepted-and-lost" },
  { on: LAUNCH, ...refused(503, "provider/internal-unavailable") },
  { on: LAUNCH, ...refused(400, "instance-operations/launch/insufficient-capacity") },
  { on: LAUNCH, ...refused(400, "global/quota-exceeded") },
  { on: LAUNCH, ...refused(429, "global/rate"), times: 9 },
  { on: LIST, ...refused(503, "provider/internal-unavailable"), times: 4 },
  { on: LIST, ...refused(401, "global/invalid-api-key"), times: 2 },
  { on: LIST, kind: "reply-lost", times: 3 },
  { on: LIST, kind: "half", times: 9 },
  { on: LIST, kind: "stale", data: [] },
  { on: TERMINATE, kind: "reply-lost", times: 3 },
  { on: TERMINATE, ...refused(503, "provider/internal-unavailable"), times: 3 },
  { on: "*", ...refused(429, "global/rate") },
  { on: "*", ...refused(500, ""), times: 2 },
];

/** As the database's gate, of one process. */
function rememberingGate(): LaunchGate {
  const launched = new Map<string, number>();
  return {
    async run({ clock }, name, launch) {
      const before = launched.get(name);
      if (before !== undefined && clock.monotonicMs() - before < 120_000) return "known";
      launched.set(name, clock.monotonicMs());
      const outcome = await launch();
      if (outcome !== "launched") launched.delete(name);
      return outcome;
    },
  };
}

/** What the reconciler remembers of an attempt. */
interface Attempt {
  readonly spec: ReplicaSpec;
  wanted: boolean;
  unclear: boolean;
  seen: boolean;
}

class History {
  readonly clock = virtualClock(new Date("2026-11-25T16:00:00Z"));
  readonly ctx: BaseCtx = { clock: this.clock, random: systemRandom, log: silentLog };
  readonly gate = rememberingGate();
  readonly attempts: Attempt[] = [];
  readonly account: Account;
  readonly chance: Chance;
  constructor(account: Account, chance: Chance) {
    this.account = account;
    this.chance = chance;
  }

  /** A worker that dies when it is done: nothing is in memory for the next. */
  async work<T>(does: (driver: LambdaDriver) => Promise<T>): Promise<T> {
    const driver = accountDriver(this.account, this.gate);
    try {
      return await does(driver);
    } finally {
      await driver.close();
    }
  }

  newAttempt(first: ReplicaSpec): Attempt {
    const key = { ...first.key, attempt: this.attempts.length + 1 };
    const attempt = {
      spec: { ...first, key, name: replicaName(key) },
      wanted: true,
      unclear: false,
      seen: false,
    };
    this.attempts.push(attempt);
    return attempt;
  }

  async apply(attempt: Attempt): Promise<void> {
    const refusal = await this.work((driver) =>
      driver.apply(this.ctx, attempt.spec).then(
        () => undefined,
        (error: unknown) => StatusError.from(error),
      ),
    );
    assert.notEqual(refusal?.reason, "INTERNAL", String(refusal?.cause));
    attempt.unclear = refusal?.code === "UNAVAILABLE";
    if (refusal && !attempt.unclear) attempt.wanted = false;
  }

  async phaseOf({ spec }: Attempt): Promise<string> {
    const [seen] = await this.work((driver) => driver.observe(this.ctx, [spec.name]));
    return seen?.phase ?? "unknown";
  }

  async step(first: ReplicaSpec, index: number): Promise<void> {
    const { chance } = this;
    const mend = chance.happens("fault", 0.7)
      ? this.account.fake.fail(chance.pick("which", FAULTS))
      : () => {};
    const current = this.attempts.find((one) => one.wanted) ?? this.newAttempt(first);
    const phase = await this.phaseOf(current);
    if (phase === "provisioning") Object.assign(current, { seen: true, unclear: false });
    if (phase === "absent" && current.seen)
      current.wanted = false; // lost, if the list says the truth
    else if (chance.happens("stop", 0.4)) current.wanted = false;
    else if (!current.unclear) await this.apply(current);
    for (const gone of this.attempts.filter((one) => !one.wanted)) {
      await this.work((driver) =>
        driver.remove(this.ctx, gone.spec.name, { graceMs: index % 2 ? 0 : 1_000 }),
      ).catch((error: unknown) => assert.ok(error instanceof StatusError, String(error)));
    }
    mend();
    this.clock.advance(UNCLEAR_MS);
    if (current.unclear && (await this.phaseOf(current)) === "absent") current.unclear = false;
    this.neverTwo();
  }

  neverTwo(): void {
    for (const { spec } of this.attempts) {
      const machines = this.account.fake.alive(spec.name).filter((one) => one.status !== "terminating");
      assert.ok(machines.length <= 1, `${machines.length} machines of ${spec.name}`);
    }
  }

  /** The weather is good again: what is wanted comes, what is not goes. */
  async settle(): Promise<void> {
    for (const attempt of this.attempts) {
      if (attempt.wanted) await this.apply(attempt);
      else await this.work((driver) => driver.remove(this.ctx, attempt.spec.name, { graceMs: 0 }));
    }
    // The fake takes a moment to end a machine.
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (const attempt of this.attempts) {
      assert.equal(
        await this.phaseOf(attempt),
        attempt.wanted ? "provisioning" : "absent",
        attempt.spec.name,
      );
    }
    const wanted = this.attempts.filter((one) => one.wanted).map((one) => one.spec.name);
    const { installationId = "" } = this.attempts[0]?.spec.key ?? {};
    const listed = await this.work((driver) => driver.list(this.ctx, installationId));
    assert.deepEqual(listed.map((one) => one.name).sort(), wanted.sort());
    assert.equal(this.account.fake.alive().length, wanted.length);
  }
}

async function play(t: TestContext, seed: number): Promise<void> {
  const account = await lambdaAccount(t, { boot: async () => ({ destroy: async () => {} }), bootMs: 60_000 });
  const chance = chanceOf(seed);
  const history = new History(account, chance);
  const first = await account.spec();
  const steps = chance.between("steps", 5, STEPS_MAX);
  for (let index = 0; index < steps; index++) await history.step(first, index);
  await history.settle();
}

test("whatever Lambda does, a replica has one machine while it is wanted, and none after", async (t) => {
  for (let seed = 1; seed <= HISTORIES; seed++) await t.test(`seed ${seed}`, (one) => play(one, seed));
});
