import type { DbCtx } from "../../db/db.ts";
import { findUser } from "../../identity/index.ts";
import type { Buyer, InvoiceLine } from "./model.ts";
import { type Scope, selectLines, sumSince } from "./movement-store.ts";

/** How late a movement may be booked into a month that is closed and still be looked for at once. */
export const LATE_MAX_MS = 31 * 86_400_000;
/** Before every movement. */
const EVER = new Date(0);

/** Ledger sums that an invoice must meet. */
export interface Bounds {
  readonly openingNanos: bigint;
  readonly closingNanos: bigint;
}

/** The balance at the end of a scope: what it is now less what came since. */
export async function closingOf(
  ctx: DbCtx,
  scope: Pick<Scope, "userId" | "currency" | "to" | "uptoTransferId">,
  balanceNanos: bigint,
): Promise<bigint> {
  return balanceNanos - (await sumSince(ctx, { ...scope, from: scope.to }));
}

/** Lines that sum to what lies between the balances. Throws when the ledger itself disagrees with its balances. */
export async function linesBetween(
  ctx: DbCtx,
  scope: Scope,
  { openingNanos, closingNanos }: Bounds,
): Promise<readonly InvoiceLine[]> {
  // Something later than LATE_MAX_MS is found by reading the whole past, which costs accordingly.
  for (const lateFrom of [scope.lateFrom, EVER]) {
    const lines = await selectLines(ctx, { ...scope, lateFrom });
    if (sumOf(lines) === closingNanos - openingNanos) return lines;
  }
  throw new Error(`invoices: the entries of user ${scope.userId} are not what lies between the balances`);
}

export function sumOf(lines: readonly InvoiceLine[]): bigint {
  return lines.reduce((sum, { amountNanos }) => sum + amountNanos, 0n);
}

/** The user as the profile is now. */
export async function buyerOf(ctx: DbCtx, userId: string): Promise<Buyer> {
  const user = await findUser(ctx, userId);
  const { firstName = "", lastName = "", displayName = "", company = "", email = "" } = user ?? {};
  const name = `${firstName} ${lastName}`.trim() || displayName;
  return { userId, name, company, email };
}
