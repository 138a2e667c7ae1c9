/** Refunds and disputes as their users and administrators read them. */
import { cutPage, type Page, timeAndId } from "../../base/page.ts";
import type { DbCtx } from "../../db/db.ts";
import { type DisputePhase, phaseOf, statusesOf } from "./dispute-phase.ts";
import {
  type DisputeRecord,
  type RefundRecord,
  selectDisputeRecords,
  selectRefundRecords,
} from "./records-store.ts";

interface Query {
  /** Undefined: of every user. */
  readonly userId: string | undefined;
}

export interface RefundsQuery extends Query {
  /** Undefined: in any state. */
  readonly state: string | undefined;
}

export interface DisputesQuery extends Query {
  /** Undefined: in any phase. */
  readonly phase: DisputePhase | undefined;
}

/** What a page token of this list is bound to. */
export function refundsQuery({ userId, state }: RefundsQuery): string {
  return `refunds ${userId ?? "*"} ${state ?? ""}`;
}

/** What a page token of this list is bound to. */
export function disputesQuery({ userId, phase }: DisputesQuery): string {
  return `disputes ${userId ?? "*"} ${phase ?? ""}`;
}

interface Cut<T> {
  readonly rows: readonly T[];
  readonly nextPageToken: string;
}

/** One page, newest first. */
export async function listRefunds(ctx: DbCtx, query: RefundsQuery, page: Page): Promise<Cut<RefundRecord>> {
  const rows = await selectRefundRecords(ctx, { ...query, after: timeAndId(page), limit: page.size + 1 });
  return cutPage(rows, page, refundsQuery(query), (one) => [one.createdAt.toISOString(), one.refundId]);
}

/** One page, newest first. */
export async function listDisputes(
  ctx: DbCtx,
  query: DisputesQuery,
  page: Page,
): Promise<Cut<DisputeRecord & { readonly phase: DisputePhase }>> {
  const rows = await selectDisputeRecords(ctx, {
    userId: query.userId,
    statuses: query.phase && statusesOf(query.phase),
    after: timeAndId(page, (id) => id !== ""),
    limit: page.size + 1,
  });
  const phased = rows.map((one) => ({ ...one, phase: phaseOf(one) }));
  return cutPage(phased, page, disputesQuery(query), (one) => [one.createdAt.toISOString(), one.disputeId]);
}
