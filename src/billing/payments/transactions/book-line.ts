import { isUuid } from "../../../base/id.ts";
import type { Money } from "../../../base/money.ts";
import type { TxCtx } from "../../../db/db.ts";
import { postTransfer } from "../../ledger/index.ts";
import type { ProcessorTransaction } from "../processor-news.ts";
import { bookingOf, type Posting } from "./postings.ts";
import { insertLine, selectIntentBehind } from "./store.ts";

/** Movements of these kinds are between accounts of the installation: no user owns them. */
const NO_OWNER = "00000000-0000-0000-0000-000000000000";

/** Writes a line and what it moves, once. False when it is known. */
export async function bookLine(tx: TxCtx, processor: string, line: ProcessorTransaction): Promise<boolean> {
  const intentId = await intentBehind(tx, processor, line);
  const { postings, elsewhere } = bookingOf(line, intentId !== null);
  const bookedAt = tx.clock.now();
  if (!(await insertLine(tx, { ...line, processor, intentId, elsewhere, bookedAt }))) return false;
  await postAll(tx, { processor, transactionId: line.transactionId, postings });
  return true;
}

/** What the processor had before these books began: not of these books. */
export async function bookOpening(tx: TxCtx, processor: string, gross: Money): Promise<void> {
  const at = tx.clock.now();
  const line = {
    transactionId: `opening-${gross.currency}`,
    type: "opening",
    lane: "other",
    subject: undefined,
    subjectId: "",
    gross,
    feeNanos: 0n,
    at,
  } as const;
  const { postings } = bookingOf(line, false);
  const row = { ...line, processor, lane: "opening", intentId: null, elsewhere: null, bookedAt: at } as const;
  if (await insertLine(tx, row)) {
    await postAll(tx, { processor, transactionId: line.transactionId, postings });
  }
}

async function postAll(
  tx: TxCtx,
  input: {
    readonly processor: string;
    readonly transactionId: string;
    readonly postings: readonly Posting[];
  },
): Promise<void> {
  const at = tx.clock.now();
  for (const { part, code, money } of input.postings) {
    const key = `processor:${input.processor}:${input.transactionId}:${part}`;
    await postTransfer(tx, { key, code, ownerId: NO_OWNER, money, at });
  }
}

async function intentBehind(
  tx: TxCtx,
  processor: string,
  { subject }: ProcessorTransaction,
): Promise<string | null> {
  if (!subject) return null;
  const { paymentId } = subject;
  const key = isUuid(subject.key) ? subject.key : null;
  if (paymentId === "" && key === null) return null;
  return (await selectIntentBehind(tx, { processor, paymentId, key })) ?? null;
}
