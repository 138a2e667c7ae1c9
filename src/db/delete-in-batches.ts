/** Bounds of a deletion: short transactions, and a pass that ends. */
export interface Batches {
  /** Rows of one statement. */
  readonly rows: number;
  /** Statements of one call; what is left waits for the next. */
  readonly batchesMax: number;
}

/** Deletes batch after batch until one is not full; returns how many rows went. `deleteSome` deletes at most `limit` and says how many. */
export async function deleteInBatches(
  { rows, batchesMax }: Batches,
  deleteSome: (limit: number) => Promise<number>,
): Promise<number> {
  let total = 0;
  for (let batch = 0; batch < batchesMax; batch++) {
    const deleted = await deleteSome(rows);
    total += deleted;
    if (deleted < rows) break;
  }
  return total;
}
