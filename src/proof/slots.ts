/** Workers that keep replicas' GPU time: windows held ahead, probes, ends; each may be lost, repeated or come late. */
import { type SlotTime, slotTime } from "../billing/index.ts";
import { type TxCtx, withTransaction } from "../db/db.ts";
import type { TrueSlot } from "./truth.ts";
import { isShort, type World } from "./world.ts";

/** Short, so that a history sees several. */
const WINDOW_MS = 90_000;
const LOST = 0.05;
const TWICE = 0.1;
/** A probe that a slow worker reports after others. */
const LATE = 0.1;
const LATE_MS = 7_000;

export function addSlot(world: World, userId: string): void {
  world.truth.slots.push({
    deploymentId: world.ctx.random.uuid(),
    userId,
    nanosPerHour: world.ground.gpuPrice.nanosPerHour,
    ...{ held: false, lastMs: undefined, provenMs: 0, chargedMs: 0n },
  });
}

/** A worker does something about a slot. */
export async function workOn(world: World, slot: TrueSlot): Promise<void> {
  const { chance } = world;
  if (world.network.faults && chance.happens("worker dies", LOST))
    return world.story.fault("a worker dies before its transaction");
  const wanted = chance.draw("worker");
  if (!slot.held || wanted < 0.1) return repeated(world, () => ensure(world, slot));
  if (wanted < 0.3) return repeated(world, () => holdNext(world, slot));
  if (wanted < 0.94) {
    const late =
      world.network.faults && chance.happens("probe late", LATE)
        ? chance.between("probe late", 1, LATE_MS)
        : 0;
    const at = new Date(world.clock.now().getTime() - late);
    return repeated(world, () => probe(world, slot, at));
  }
  await endSlot(world, slot);
}

export function endSlot(world: World, slot: TrueSlot): Promise<void> {
  const { deploymentId } = slot;
  const at = world.clock.now();
  return repeated(world, async () => {
    await withTransaction(world.ctx, (tx) => world.subject.endSlot(tx, { deploymentId, slot: 0, at }));
    world.truth.ended(slot, at.getTime());
    const [time] = await slotTime(world.ctx, { deploymentId });
    slot.chargedMs = time?.chargedMs ?? 0n;
    world.story.tell(`the replica of ${deploymentId} ends`);
  });
}

/** A worker that dies after its commit leaves it to another one, who does it again. */
async function repeated(world: World, work: () => Promise<void>): Promise<void> {
  world.moved = true;
  await work();
  if (!world.network.faults || !world.chance.happens("work twice", TWICE)) return;
  world.story.fault("a worker repeats what another one did");
  await work();
}

async function ensure(world: World, slot: TrueSlot): Promise<void> {
  const { deploymentId, userId } = slot;
  const { modelId, gpuPrice: price } = world.ground;
  const now = world.clock.now();
  const input = { modelId, deploymentId, userId, slot: 0, price, gpuCount: 0, windowMs: WINDOW_MS, now };
  if (await paid(world, slot, (tx) => world.subject.ensureWindowHeld(tx, input))) slot.held = true;
}

async function holdNext(world: World, slot: TrueSlot): Promise<void> {
  const input = {
    deploymentId: slot.deploymentId,
    slot: 0,
    price: world.ground.gpuPrice,
    now: world.clock.now(),
  };
  await paid(world, slot, (tx) => world.subject.holdNextWindow(tx, input));
}

async function probe(world: World, slot: TrueSlot, at: Date): Promise<void> {
  const { deploymentId } = slot;
  await paid(world, slot, (tx) => world.subject.meterProbe(tx, { deploymentId, slot: 0, at }));
  world.truth.probed(slot, at.getTime());
}

/** False where the money was too little, which leaves everything as it was. */
async function paid(world: World, slot: TrueSlot, work: (tx: TxCtx) => Promise<SlotTime>): Promise<boolean> {
  try {
    const time = await withTransaction(world.ctx, work);
    slot.chargedMs = time.chargedMs;
    world.story.counts.windows = Math.max(world.story.counts.windows, time.windowNo);
    return true;
  } catch (error) {
    if (!isShort(error)) throw error;
    world.story.tell(`no money for a window of ${slot.deploymentId}`);
    return false;
  }
}
