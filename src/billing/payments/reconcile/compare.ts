/** One payment, refund or dispute: what the processor has of it against what the ledger says. Pure. */

/** What was compared. Amounts are signed: payments add to what the processor has of ours, refunds and disputes take from it. */
export interface Item {
  readonly kind: "payment" | "refund" | "dispute";
  /** The processor's id. */
  readonly id: string;
  readonly currency: string;
  /** False: the processor lists it as ours, and we have no row of it. */
  readonly known: boolean;
  /** False: we have it, and the processor knows no such thing. */
  readonly there: boolean;
  readonly processorNanos: bigint;
  /** The movements that it may have made, each with the sign in which it counts. */
  readonly movements: readonly { readonly key: string; readonly sign: 1n | -1n }[];
}

export type FindingKind =
  | "REPAIRED"
  | "NOT_IN_BOOKS"
  | "NOT_AT_PROCESSOR"
  | "NOT_POSTED"
  | "POSTED_TOO_MUCH"
  | "LIST_CUT"
  | "NOT_SETTLED"
  | "OUTSIDE"
  | "NOT_ASKED";

export interface Finding {
  readonly kind: FindingKind;
  readonly what: Item["kind"] | "list" | "line" | "balance";
  readonly id: string;
  readonly processorNanos: bigint;
  readonly ledgerNanos: bigint;
  /** What of the whole difference it is; 0 once repaired. */
  readonly differenceNanos: bigint;
  /** For the operator, with the way out. */
  readonly explanation: string;
}

const EXPLANATIONS: Readonly<Record<Exclude<FindingKind, "NOT_SETTLED" | "OUTSIDE" | "NOT_ASKED">, string>> =
  {
    REPAIRED: "The news of it never arrived. It was read from the processor and booked now.",
    NOT_IN_BOOKS:
      "The processor has it under a key of ours, but this database has no row of it: was an older backup restored? Grant the user credit, or refund it in the processor's dashboard.",
    NOT_AT_PROCESSOR:
      "It is in our books, but the processor knows no such thing: are these keys of another account? Look for it in the processor's dashboard.",
    NOT_POSTED:
      "The processor says that it happened and the ledger does not. Look in the log for why it could not be booked.",
    POSTED_TOO_MUCH:
      "The ledger says that it happened and the processor does not, or of another amount. Compare it with the processor's dashboard.",
    LIST_CUT:
      "The processor has more in one day than one list holds; what lies behind the cut was not compared.",
  };

export function ledgerNanosOf({ movements }: Item, amounts: ReadonlyMap<string, bigint>): bigint {
  return movements.reduce((total, { key, sign }) => total + sign * (amounts.get(key) ?? 0n), 0n);
}

/** Undefined where both say the same. */
export function differenceOf(item: Item, ledgerNanos: bigint): Finding | undefined {
  if (item.processorNanos === ledgerNanos) return undefined;
  return finding(kindOf(item, ledgerNanos), item, ledgerNanos);
}

/** It differed, and does no more. */
export function repaired(item: Item, ledgerNanos: bigint): Finding {
  return finding("REPAIRED", item, ledgerNanos);
}

export function listCut(id: string): Finding {
  const none = { processorNanos: 0n, ledgerNanos: 0n, differenceNanos: 0n };
  return { kind: "LIST_CUT", what: "list", id, ...none, explanation: EXPLANATIONS.LIST_CUT };
}

function finding(kind: keyof typeof EXPLANATIONS, item: Item, ledgerNanos: bigint): Finding {
  const { id, processorNanos } = item;
  const differenceNanos = processorNanos - ledgerNanos;
  return {
    kind,
    what: item.kind,
    id,
    processorNanos,
    ledgerNanos,
    differenceNanos,
    explanation: EXPLANATIONS[kind],
  };
}

function kindOf(item: Item, ledgerNanos: bigint): keyof typeof EXPLANATIONS {
  if (!item.known) return "NOT_IN_BOOKS";
  if (!item.there) return "NOT_AT_PROCESSOR";
  return ledgerNanos === 0n ? "NOT_POSTED" : "POSTED_TOO_MUCH";
}
