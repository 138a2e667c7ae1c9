/** One history: what happens is drawn from the seed, step by step; after each step nothing may be promised, served or booked wrongly. */
import { chanceOf } from "../base/chance.ts";
import { actionsOf } from "./actions.ts";
import { Asker } from "./asker.ts";
import { addBudgets } from "./budgets.ts";
import { checkEnd, checkNow } from "./checks.ts";
import type { Ground } from "./ground.ts";
import { turn } from "./network.ts";
import { comeToRest } from "./rest.ts";
import { addSlot } from "./slots.ts";
import type { Counts } from "./story.ts";
import { Breach } from "./story.ts";
import type { Subject } from "./subject.ts";
import { type Weather, World } from "./world.ts";

export interface HistoryResult {
  readonly seed: number;
  readonly weather: Weather;
  readonly counts: Counts;
  readonly overdraftMax: bigint;
  /** Longest time for which somebody who asked again and again was refused though the free money was enough. */
  readonly refusedMaxMs: number;
  readonly breach: { readonly what: string; readonly story: readonly string[] } | undefined;
}

const STEPS = 130;
/** In turn; only after a storm does the longer bound of refusals hold. */
const WEATHERS: readonly Weather[] = ["calm", "stormy", "rough", "stormy"];

export async function playHistory(ground: Ground, subject: Subject, seed: number): Promise<HistoryResult> {
  const world = new World(ground, subject, chanceOf(seed), WEATHERS[seed % WEATHERS.length] ?? "stormy");
  const asker = new Asker(world);
  let breach: HistoryResult["breach"];
  try {
    await play(world, asker);
  } catch (error) {
    const what =
      error instanceof Error
        ? error instanceof Breach
          ? error.message
          : String(error.stack)
        : String(error);
    breach = { what, story: world.story.lines };
  }
  const { counts } = world.story;
  const { weather } = world;
  const overdraftMax = world.truth.overdraftMax ?? 0n;
  return { seed, weather, counts, overdraftMax, refusedMaxMs: asker.refusedMaxMs, breach };
}

async function play(world: World, asker: Asker): Promise<void> {
  await populate(world);
  world.judge = async () => {
    if (!asker.isRefused) return;
    await checkNow(world);
    asker.judge();
  };
  const act = actionsOf(world, asker);
  for (let step = 0; step < STEPS; step++) {
    await act();
    await turn();
    await checkNow(world);
    asker.judge();
  }
  world.story.tell("the faults stop");
  await comeToRest(world, asker);
  await checkEnd(world);
}

async function populate(world: World): Promise<void> {
  const { chance } = world;
  const users = chance.between("users", 1, 2);
  for (let user = 0; user < users; user++) await world.addUser(chance.between("cents", 100, 600));
  for (const userId of world.users) await addBudgets(world, userId);
  const gateways = chance.between("gateways", 2, 4);
  for (let gateway = 0; gateway < gateways; gateway++) world.startGateway([]);
  for (let slot = chance.between("slots", 0, 2); slot > 0; slot--)
    addSlot(world, chance.pick("payer", world.users));
}
