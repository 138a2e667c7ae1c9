/** What a check of the books looks at, and what it finds. */

/** What is compared with what; the words are stable. */
export const CHECKS = {
  chain: "every sealed transfer is what it was when it was sealed",
  transfers:
    "every transfer's entries sum to zero, between the accounts that its code names, in one currency",
  balances: "every balance is the sum of its entries, and what is held of it the sum of its holds",
  credit:
    "every pot of credit is the sum of its entries and holds, and none is spent or kept after it expired",
  holds: "every hold has something that it waits for, its captures are its transfers, and none is overdue",
  slices: "every slice that is out at a gateway has its hold",
  budgets: "what budgets count as spent and reserved is what their holds say",
  windows: "every GPU window that is held or open has its hold, and what it captured is its transfer",
  refunds: "every refund on its way has its hold",
  processor: "what each line of the processor's balance moved is what the ledger has of it",
  usage: "what receipts of tokens charged is what the ledger moved for them",
  months: "monthly sums are the sums of their receipts",
  spending: "daily sums are the sums of their receipts and windows",
  invoices: "numbers of invoices have no gaps, and each is what the ledger moved between its balances",
  currencies: "no account, hold, price or transfer mixes currencies",
} as const;

export type CheckName = keyof typeof CHECKS;

/** Something that is wrong. */
export interface Finding {
  readonly check: CheckName;
  /** A sentence: what is wrong. */
  readonly what: string;
  readonly count: number;
  /** Ids or keys of the first few. */
  readonly examples: readonly string[];
}

/** One check of the books. */
export interface BookCheck {
  readonly startedAt: Date;
  readonly finishedAt: Date;
  readonly transfers: bigint;
  readonly sealedTransfers: bigint;
  /** The newest seal, `<number>:<hex digest>`; "" before the first. */
  readonly head: string;
  /** Empty in good books. */
  readonly findings: readonly Finding[];
}
