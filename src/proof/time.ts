/** How time passes: gateways look after their slices, requests end by their deadlines, workers settle what is over. */
import type { Gateway, Running } from "./gateway.ts";
import { turn } from "./network.ts";
import type { World } from "./world.ts";

const TICK_MS = 1_000;
const SETTLE_EVERY_MS = 60_000;
/** Longer stretches are passed in so many parts. */
const PARTS = 4;
/** A call or a write to a disk takes no longer than this while all is well. */
const CALL_MS = 1_000;
/** Calls that one call leads to are few; more is a loop. */
const DRAIN_MAX = 10_000;
/** An engine that counts more than it was told to make. */
const TOO_MUCH = 0.03;

/** Lets time pass; requests end at their deadlines on the way. */
export async function pass(world: World, ms: number): Promise<void> {
  const until = world.nowMs + ms;
  while (world.nowMs < until) {
    const step = Math.max(
      1,
      Math.min(until - world.nowMs, Math.max(TICK_MS, Math.ceil((until - world.nowMs) / PARTS))),
    );
    const before = world.nowMs;
    world.advance(Math.min(step, untilDeadline(world)));
    endDue(world);
    reviveDead(world);
    if (world.nowMs - before >= TICK_MS || world.chance.happens("tick", 0.3))
      for (const gateway of world.live()) gateway.tick();
    await turn();
    if (ms >= CALL_MS) {
      for (const gateway of world.live()) gateway.writeAll();
      await drain(world);
    }
    await world.judge();
    if (Math.floor(world.nowMs / SETTLE_EVERY_MS) > Math.floor(before / SETTLE_EVERY_MS))
      await world.settle();
  }
}

/** All calls arrive, and what they lead to. */
export async function drain(world: World): Promise<void> {
  for (let count = 0; world.network.size > 0 && count < DRAIN_MAX; count++) await world.network.deliver();
}

/** Some request of the gateway ends, having cost any part of its bound. */
export function endRandom(world: World, gateway: Gateway): void {
  if (gateway.running.length > 0) finish(world, gateway, world.chance.pick("which", gateway.running));
}

export function finish(world: World, gateway: Gateway, one: Running): void {
  const { chance } = world;
  const most = world.stormy && chance.happens("too much", TOO_MUCH) ? 2 : 1;
  gateway.end(one, Math.round(one.tokensMax * most * chance.draw("cost")));
}

function untilDeadline(world: World): number {
  const left = world
    .live()
    .flatMap((gateway) =>
      gateway.running.map((one) => one.reservation.deadlineAt - gateway.clock.monotonicMs()),
    );
  return Math.max(1, Math.min(...left, Number.MAX_SAFE_INTEGER));
}

/** Gateways end what is at its deadline. */
function endDue(world: World): void {
  for (const gateway of world.live()) {
    const now = gateway.clock.monotonicMs();
    for (const one of gateway.running.filter(({ reservation }) => reservation.deadlineAt <= now))
      finish(world, gateway, one);
  }
}

/** Whoever runs gateways starts one for each that died at a step. */
export function reviveDead(world: World): void {
  for (const gateway of world.gateways.filter((one) => !one.alive && !one.replaced))
    world.replaceGateway(gateway, gateway.disk);
}
