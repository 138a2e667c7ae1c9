/** A worker that keeps replicas' GPU time and settles what is over, beside another one that does the same. Killed at any moment. */
import { silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import {
  endSlot,
  ensureWindowHeld,
  type GpuPrice,
  gpuPrice,
  holdNextWindow,
  meterProbe,
  sealTransfers,
  settleSlices,
} from "../../../src/billing/index.ts";
import { type DbCtx, type TxCtx, withTransaction } from "../../../src/db/db.ts";
import { APP_ROLE, openDatabase } from "../../../src/db/pool.ts";
import { witness } from "./evidence.ts";
import { fastClock } from "./fast-clock.ts";

export interface WorkerOrder {
  readonly url: string;
  readonly epochMs: number;
  readonly evidence: string;
  readonly modelId: string;
  readonly slots: readonly { readonly deploymentId: string; readonly userId: string }[];
}

/** In fast time: some windows a second of ours. */
const WINDOW_MS = 60_000;
const PAUSE_MS = 15;

const order: WorkerOrder = JSON.parse(process.argv[2] ?? "");
const clock = fastClock(order.epochMs);
const { db, close } = openDatabase({ url: order.url, connectionsMax: 2, log: silentLog, role: APP_ROLE });
const ctx: DbCtx = { db, clock, random: systemRandom, log: silentLog };
const sworn = witness(order.evidence);
let stopping = false;
process.once("SIGTERM", () => {
  stopping = true;
});

const inTransaction = (work: (tx: TxCtx) => Promise<unknown>) =>
  withTransaction(ctx, async (tx) => void (await work(tx))).catch(() => {});

async function workOn(price: GpuPrice, slot: WorkerOrder["slots"][number]): Promise<void> {
  const { deploymentId, userId } = slot;
  const key = { deploymentId, slot: 0 };
  const draw = Math.random();
  if (draw < 0.1) {
    const now = clock.now();
    const { modelId } = order;
    await inTransaction((tx) =>
      ensureWindowHeld(tx, { ...key, modelId, userId, price, gpuCount: 0, windowMs: WINDOW_MS, now }),
    );
  } else if (draw < 0.3) await inTransaction((tx) => holdNextWindow(tx, { ...key, price, now: clock.now() }));
  else if (draw < 0.97) {
    const at = clock.now();
    sworn.swear({ kind: "probed", deploymentId, atMs: at.getTime() });
    await inTransaction((tx) => meterProbe(tx, { ...key, at }));
  } else {
    const at = clock.now();
    sworn.swear({ kind: "stopped", deploymentId, atMs: at.getTime() });
    await inTransaction((tx) => endSlot(tx, { ...key, at }));
  }
}

const price = await gpuPrice(ctx, {
  provider: "ONPREM",
  region: "local",
  gpuType: "UNSPECIFIED",
  at: clock.now(),
});
if (!price) throw new Error("there is no price");
process.stdout.write("serving\n");
while (!stopping) {
  for (const slot of order.slots) await workOn(price, slot);
  await settleSlices(ctx, { now: clock.now() }).catch(() => {});
  await sealTransfers(ctx).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
}
await close();
sworn.close();
