/** What may happen next in a history, and how often. */
import type { Step } from "../base/steps.ts";
import type { Asker } from "./asker.ts";
import { keyOf } from "./budgets.ts";
import type { Gateway } from "./gateway.ts";
import { workOn } from "./slots.ts";
import { endRandom, pass, reviveDead } from "./time.ts";
import type { World } from "./world.ts";

interface Action {
  readonly weight: number;
  act(): void | Promise<void>;
}

/** Of a request's duration. */
const SHORT_MS = 60_000;
const LONG_MS = 600_000;
const LONG = 0.2;
/** A request's bound as a part of what its user ever paid. */
const PART_MAX = 5;
const DISK_FAILS = 0.05;
const KILL_STEPS: readonly Step[] = ["gateway.slice-leased", "gateway.usage-shipped"];

/** Draws one action and does it. */
export function actionsOf(world: World, asker: Asker): () => Promise<void> {
  const actions = [...calm(world, asker), ...(world.stormy ? storm(world) : [])];
  const total = actions.reduce((sum, { weight }) => sum + weight, 0);
  return async () => {
    if (world.live().length === 0) {
      thaw(world);
      reviveDead(world);
    }
    // What was asked usually arrives before much else happens.
    if (world.network.size > 0 && world.chance.happens("deliver", 0.5)) return world.network.deliver();
    let at = world.chance.draw("action") * total;
    for (const { weight, act } of actions) {
      at -= weight;
      if (at < 0) return act();
    }
  };
}

function calm(world: World, asker: Asker): readonly Action[] {
  const { chance } = world;
  const some = (about: string) => chance.pick(about, world.live());
  return [
    { weight: 20, act: () => ask(world, asker, some("asks")) },
    { weight: 8, act: () => asker.again(some("asks again"), 0.3 + 0.7 * chance.draw("wish")) },
    { weight: 14, act: () => endRandom(world, some("ends")) },
    { weight: 14, act: () => some("writes").write(world.stormy && chance.happens("disk", DISK_FAILS)) },
    { weight: 5, act: () => void some("ships").ship() },
    { weight: 14, act: () => pass(world, chance.between("ms", 1, 900)) },
    { weight: 5, act: () => pass(world, chance.between("seconds", 1, 40) * 1_000) },
    { weight: 1, act: () => pass(world, chance.between("minutes", 1, 30) * 60_000) },
    { weight: 1, act: () => world.pay(chance.pick("pays", world.users), chance.between("more", 1, 200)) },
    { weight: 1.5, act: () => grant(world) },
    { weight: 12, act: () => workOnSome(world) },
  ];
}

function storm(world: World): readonly Action[] {
  const { chance } = world;
  const some = (about: string) => chance.pick(about, world.live());
  return [
    { weight: 2, act: () => replace(world, some("dies")) },
    { weight: 1, act: () => kill(world, some("will die")) },
    { weight: 1, act: () => loseDisk(world, some("loses its disk")) },
    { weight: 1, act: () => freeze(world) },
    { weight: 3, act: () => thaw(world) },
    { weight: 0.5, act: () => pass(world, 80 * 60_000) },
  ];
}

function ask(world: World, asker: Asker, gateway: Gateway): void {
  const { chance } = world;
  const userId = chance.pick("user", world.users);
  const most = world.tokensFor((world.truth.paid.get(userId) ?? 0n) / BigInt(PART_MAX));
  const tokensMax = Math.max(1, Math.round(most * chance.draw("tokens") ** 2));
  const durationMs = chance.between("duration", 1_000, chance.happens("long", LONG) ? LONG_MS : SHORT_MS);
  const wish = { userId, keyId: keyOf(world, userId), tokensMax, durationMs };
  gateway.ask(wish).catch((error: unknown) => asker.refused(error, wish));
}

/** Half of it ends soon. */
function grant(world: World): Promise<void> {
  const { chance } = world;
  const forMs = chance.happens("ends", 0.5) ? chance.between("ends", 10_000, 5_400_000) : undefined;
  return world.grant(chance.pick("granted", world.users), chance.between("credit", 1, 200), forMs);
}

async function workOnSome(world: World): Promise<void> {
  if (world.truth.slots.length > 0) await workOn(world, world.chance.pick("slot", world.truth.slots));
}

/** A new process takes the disk of one that died, now or later. */
function replace(world: World, gateway: Gateway): void {
  gateway.crash("of a kill -9");
  world.replaceGateway(gateway, gateway.disk);
}

/** Dies at a named step when it gets there; the next process comes when the time passes. */
function kill(world: World, gateway: Gateway): void {
  gateway.killAt = world.chance.pick("step", KILL_STEPS);
}

/** Process and disk are gone: what it served and did not ship is the operator's loss. */
function loseDisk(world: World, gateway: Gateway): void {
  gateway.crash("with its disk");
  world.truth.diskLost(gateway.disk.splice(0).map(({ requestId }) => requestId));
  world.replaceGateway(gateway, []);
}

/** Stands still while time goes on, as a process that is stopped, or a host that swaps. One always goes on. */
function freeze(world: World): void {
  const live = world.live();
  if (live.length < 2) return;
  const gateway = world.chance.pick("stands still", live);
  gateway.frozen = true;
  world.story.fault(`${gateway.name} stands still`);
}

function thaw(world: World): void {
  for (const gateway of world.gateways) gateway.frozen = false;
}
