/** A gateway's money in a process of its own: the real purse, usage log and ledger; instead of engines, chance. Killed at any moment. */

import { silentLog } from "../../../src/base/log.ts";
import { nanosForTokens } from "../../../src/base/money.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { secretBox } from "../../../src/base/seal.ts";
import { StatusError } from "../../../src/base/status.ts";
import { listen } from "../../../src/db/listen.ts";
import { APP_ROLE, openDatabase } from "../../../src/db/pool.ts";
import {
  GATEWAY_LIMITS,
  type GatewayDeps,
  type GatewayUsage,
  Purse,
  type Reservation,
} from "../../../src/gateway/index.ts";
import { UsageLog } from "../../../src/gateway/usage-log/usage-log.ts";
import { SLICES_CHANNEL } from "../../../src/main/changes.ts";
import { gatewayControl } from "../../../src/main/gateway-control.ts";
import { stepsFrom } from "../../../src/main/kill-steps.ts";
import { witness } from "./evidence.ts";
import { fastClock, SPEED } from "./fast-clock.ts";

export interface GatewayOrder {
  readonly url: string;
  readonly epochMs: number;
  readonly home: string;
  readonly evidence: string;
  readonly users: readonly string[];
  readonly modelId: string;
  readonly price: { readonly versionId: string; readonly nanosPerMillion: string };
  readonly killAt?: string;
}

const LANES = 6;
const TOKENS_MAX = 200_000;
const REQUEST_MS = 40;
const TIDY_MS = 20;
/** A client that was refused asks again. */
const AGAIN_MS = 30;
const CLOSE_MS = 5_000;

const order: GatewayOrder = JSON.parse(process.argv[2] ?? "");
const clock = fastClock(order.epochMs);
const { db, close } = openDatabase({ url: order.url, connectionsMax: 4, log: silentLog, role: APP_ROLE });
const box = secretBox("a secret of at least thirty-two characters");
const gatewayId = systemRandom.uuid();
const listeners = new Set<(what: string) => void>();
const control = gatewayControl({
  ctx: { db, clock, random: systemRandom, log: silentLog },
  ...{ box, gatewayId, currency: "USD" },
  onChange: (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
});
const deps: GatewayDeps = {
  ...{ clock, random: systemRandom, log: silentLog, gatewayId, box, control, version: "1" },
  steps: stepsFrom(order.killAt),
  usageLogDir: order.home,
  limits: { ...GATEWAY_LIMITS, shipEveryMs: 20 * SPEED },
};
const purse: Purse = new Purse(deps, () => usageLog.ship());
const usageLog = new UsageLog(deps, (records) =>
  purse.shipped(records.flatMap(({ sliceId }) => (sliceId === null ? [] : [sliceId]))),
);
const stopHearing = listen({
  url: order.url,
  channels: [SLICES_CHANNEL],
  log: silentLog,
  clock,
  onNotify: (_, sliceId) => purse.recall(sliceId),
  onConnect: () => {},
});
const sworn = witness(order.evidence);
let stopping = false;
process.once("SIGTERM", () => {
  stopping = true;
});

const costOf = (tokens: number) =>
  nanosForTokens([{ tokens: BigInt(tokens), nanosPerMillion: BigInt(order.price.nanosPerMillion) }]);
const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function serveOne(): Promise<void> {
  const userId = order.users[Math.floor(Math.random() * order.users.length)] ?? "";
  const tokensMax = 1 + Math.floor(Math.random() ** 2 * TOKENS_MAX);
  const deadlineAt = clock.monotonicMs() + 2 * REQUEST_MS * SPEED;
  const reservation = await purse
    .reserve(userId, costOf(tokensMax) + 1n, deadlineAt)
    .catch((error: unknown) => {
      if (error instanceof StatusError && error.reason === "BALANCE_TOO_LOW")
        sworn.swear({ kind: "refused", userId });
      throw error;
    });
  await rest(Math.random() * REQUEST_MS);
  await finish(userId, reservation, Math.floor(Math.random() * tokensMax));
}

/** As a call ends: settled, written down, and only then answered. */
async function finish(userId: string, reservation: Reservation, tokens: number): Promise<void> {
  const nanos = costOf(tokens);
  const { sliceId } = reservation;
  const usage = usageOf(userId, sliceId, tokens);
  const fact = { requestId: usage.requestId, userId, sliceId, nanos: String(nanos), home: order.home };
  sworn.swear({ kind: "ending", ...fact, swornMs: Date.now() });
  reservation.settle(nanos, true);
  const error = await new Promise<Error | undefined>((written) => usageLog.append(usage, LANES, { written }));
  if (error) reservation.unlogged();
  else sworn.swear({ kind: "served", ...fact, swornMs: Date.now() });
}

function usageOf(userId: string, sliceId: string, tokens: number): GatewayUsage {
  return {
    requestId: `req-${systemRandom.uuid()}`,
    ...{ gatewayId, modelId: order.modelId, servedName: "proof", userId, keyId: null, sliceId },
    priceVersionId: order.price.versionId,
    ...{ promptTokens: 0, cachedTokens: 0, completionTokens: tokens, estimated: false, outcome: "ok" },
    ...{ startedAt: clock.now(), endedAt: clock.now(), ttftMs: null },
  };
}

async function lane(): Promise<void> {
  while (!stopping) await serveOne().catch(() => rest(AGAIN_MS));
}

async function tidy(): Promise<void> {
  while (!stopping) {
    await rest(TIDY_MS);
    await purse.tidy();
  }
}

process.stdout.write("serving\n");
await Promise.all([tidy(), ...Array.from({ length: LANES }, lane)]);
await usageLog.close(CLOSE_MS * SPEED);
await purse.tidy(true);
await stopHearing();
await close();
sworn.close();
