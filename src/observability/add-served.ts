import type { TxCtx } from "../db/db.ts";
import { type ServedRequest, sumsOf } from "./served.ts";
import { addSums } from "./store.ts";

/** Adds requests that were counted just now to their models' sums, in the transaction that counts them. */
export async function addServed(tx: TxCtx, requests: readonly ServedRequest[]): Promise<void> {
  // What was turned away before an engine saw it says nothing of how the model serves.
  const served = requests.filter((request) => request.outcome !== "rejected");
  if (served.length > 0) await addSums(tx, sumsOf(served));
}
