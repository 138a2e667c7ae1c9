/** The books against the truth: after every step in short, and at a history's end receipt by receipt and entry by entry. */
import { nanosForDuration } from "../base/money.ts";
import { checkBudgets, gpuUnder, usedOf } from "./budgets.ts";
import { booksOf, budgetUsesOf, leastOf, type ReceiptRow, receiptsOf, slotsOf } from "./store.ts";
import { Breach } from "./story.ts";
import type { World } from "./world.ts";

/** Nothing was served that was not paid, and each user's balance is what was paid less what arrived of that. */
export async function checkNow(world: World): Promise<void> {
  world.truth.check();
  checkBudgets(world);
  if (!world.moved) return;
  world.moved = false;
  for (const [userId, paid] of world.truth.paid) {
    const books = await booksOf(world.ctx, userId);
    world.books.set(userId, books);
    same("what was paid", books.paid, paid);
    same("charges of tokens", books.tokens, world.truth.tokensOf(userId, true));
    same("the balance", books.balance, books.paid - books.expired - books.tokens - books.gpu);
    same("all entries", books.total, books.balance);
    if (books.balance < 0n || books.held < 0n || books.balance < books.held)
      throw new Breach(`balance ${books.balance}, of which ${books.held} are held`);
  }
}

/** Once everything has ended and arrived. */
export async function checkEnd(world: World): Promise<void> {
  await checkNow(world);
  for (const userId of world.truth.paid.keys()) {
    const books = await booksOf(world.ctx, userId);
    same("what is still held", books.held, 0n);
    const least = await leastOf(world.ctx, userId);
    if (least < 0n) throw new Breach(`the balance was ${least} at some entry`);
    checkReceipts(world, userId, await receiptsOf(world.ctx, userId));
    await checkSlots(world, userId);
  }
  for (const budget of world.budgets) {
    for (const row of await budgetUsesOf(world.ctx, budget.budgetId)) {
      same("what is reserved of a budget", row.reserved, 0n);
      const day = budget.period === "total" ? 0 : row.startsAt.getTime();
      same(
        `what a ${budget.kind} budget counts`,
        row.spent,
        usedOf(world, budget, day, true) + gpuUnder(world, budget),
      );
    }
  }
}

/** Each request that reached the ledger is counted once, and what its slice did not pay is the operator's alone. */
function checkReceipts(world: World, userId: string, receipts: readonly ReceiptRow[]): void {
  const own = [...world.truth.requests.values()].filter((one) => one.userId === userId && one.delivered);
  same("receipts", BigInt(receipts.length), BigInt(own.length));
  const costs = new Map(own.map((one) => [one.id, one.costNanos]));
  const charged = new Map<string, bigint>();
  for (const { requestId, sliceId, charged: nanos, writtenOff } of receipts) {
    same(`the receipt of ${requestId}`, nanos + writtenOff, costs.get(requestId) ?? -1n);
    charged.set(sliceId ?? "", (charged.get(sliceId ?? "") ?? 0n) + nanos);
  }
  for (const [sliceId, nanos] of charged)
    same(`charges under ${sliceId}`, nanos, world.truth.chargeOf(sliceId, userId, true));
}

/** Time that probes prove is charged or written off, to the millisecond, and its price floored once. */
async function checkSlots(world: World, userId: string): Promise<void> {
  for (const row of await slotsOf(world.ctx, userId)) {
    const slot = world.truth.slots.find(({ deploymentId }) => deploymentId === row.deploymentId);
    same("proven milliseconds", row.chargedMs + row.unfundedMs, BigInt(slot?.provenMs ?? -1));
    same("GPU charges", row.charged, nanosForDuration(slot?.nanosPerHour ?? 0n, row.chargedMs));
  }
}

function same(what: string, found: bigint, expected: bigint): void {
  if (found !== expected) throw new Breach(`${what}: the books say ${found}, and ${expected} is right`);
}
