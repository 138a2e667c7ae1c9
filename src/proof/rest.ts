/** The end of a history: what was begun ends, what was written arrives, and all the money is free again within the bound. */
import type { Asker } from "./asker.ts";
import { REFUSED_AFTER_LOSS_MAX_MS, REFUSED_MAX_MS } from "./bounds.ts";
import { checkNow } from "./checks.ts";
import { turn } from "./network.ts";
import { endSlot } from "./slots.ts";
import { Breach } from "./story.ts";
import { drain, finish, pass } from "./time.ts";
import type { World } from "./world.ts";

/** Pauses between looks, growing: most money is back within seconds. */
const PAUSES_MS = [
  500, 2_000, 10_000, 40_000, 60_000, 300_000, 300_000, 600_000, 1_800_000, 1_800_000, 60_000,
];

/** From here on nothing goes wrong any more, and somebody asks for all that is free until they get it. */
export async function comeToRest(world: World, asker: Asker): Promise<void> {
  world.network.faults = false;
  for (const gateway of world.gateways) {
    gateway.frozen = false;
    gateway.killAt = undefined;
  }
  for (const slot of world.truth.slots) await endSlot(world, slot);
  finishAll(world);
  await untilGranted(world, asker);
  await untilFree(world);
}

/** Being refused for too long is found by the asker itself. */
async function untilGranted(world: World, asker: Asker): Promise<void> {
  const { granted } = asker;
  for (const pause of PAUSES_MS) {
    await askForAll(world, asker);
    if (asker.granted > granted || !asker.waits) return;
    await pass(world, pause);
  }
  throw new Breach("a request is still refused after all of this time");
}

async function untilFree(world: World): Promise<void> {
  const since = world.nowMs;
  const boundMs = world.stormy ? REFUSED_AFTER_LOSS_MAX_MS : REFUSED_MAX_MS;
  for (const pause of PAUSES_MS) {
    await checkNow(world);
    if (world.isAtRest()) return;
    if (world.nowMs - since > boundMs) break;
    await pass(world, pause);
  }
  throw new Breach(`money is still held ${world.nowMs - since} ms after the last request`);
}

async function askForAll(world: World, asker: Asker): Promise<void> {
  await checkNow(world);
  asker.again(world.chance.pick("asks at last", world.live()), 1);
  await turn();
  await drain(world);
  finishAll(world);
  await checkNow(world);
  asker.judge();
}

function finishAll(world: World): void {
  for (const gateway of world.live()) {
    for (const one of [...gateway.running]) finish(world, gateway, one);
    gateway.writeAll();
  }
}
