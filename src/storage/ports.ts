import type { TxCtx } from "../db/db.ts";
import type { Driver } from "../providers/driver.ts";
import type { TierSizes } from "./model.ts";

/** What this domain is given. */
export interface StorageDeps {
  readonly tiers: TierSizes;
  /** Places; those without a disk of their own keep nothing. */
  readonly drivers: readonly Driver[];
  /** Tells the owner that prompts go for want of room; in the transaction that writes it down. */
  full(tx: TxCtx, news: FullNews): Promise<void>;
}

export interface FullNews {
  readonly userId: string;
  readonly storageId: string;
  readonly limitBytes: number;
}
