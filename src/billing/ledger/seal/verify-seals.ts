import type { DbCtx } from "../../../db/db.ts";
import { SealDigest } from "./canonical.ts";
import { NO_SEAL, type Seal, selectSeals, selectTransfers } from "./store.ts";

/** Seals read at once. */
const SEALS_PAGE = 500;
/** Transfers read at once. */
const TRANSFERS_PAGE = 5_000;

/** A seal whose transfers are not what they were when it was made. */
export interface BrokenSeal {
  readonly number: bigint;
  readonly afterId: bigint;
  readonly uptoId: bigint;
  /** How many transfers it covered, and how many are there. */
  readonly sealed: bigint;
  readonly found: bigint;
}

export interface Chain {
  readonly seals: bigint;
  readonly transfers: bigint;
  /** The newest seal as `<number>:<hex digest>`; "" where there is none. Kept elsewhere, it proves later that no seal before it was made anew. */
  readonly head: string;
  readonly broken: readonly BrokenSeal[];
}

/**
 * Makes every digest anew from the transfers that are there. Each seal is held against the stored digest of the one before, so that
 * one broken seal is told alone, and not every seal after it. `onSeal` sees each as it is stored.
 */
export async function verifySeals(ctx: DbCtx, onSeal: (seal: Seal) => void = () => {}): Promise<Chain> {
  const broken: BrokenSeal[] = [];
  let last = NO_SEAL;
  let transfers = 0n;
  for (;;) {
    const page = await selectSeals(ctx, last.number, SEALS_PAGE);
    for (const seal of page) {
      const found = await remake(ctx, last, seal);
      transfers += found.transfers;
      if (!isWhole(last, seal, found)) {
        const { number, afterId, uptoId, transfers: sealed } = seal;
        broken.push({ number, afterId, uptoId, sealed, found: found.transfers });
      }
      onSeal(seal);
      last = seal;
    }
    if (page.length < SEALS_PAGE) break;
  }
  return { seals: last.number, transfers, head: headOf(last), broken };
}

/** `<number>:<hex digest>`. */
export function headOf({ number, digest }: Pick<Seal, "number" | "digest">): string {
  return number === 0n ? "" : `${number}:${digest.toString("hex")}`;
}

type Remade = Pick<Seal, "transfers" | "digest">;

function isWhole(last: Seal, seal: Seal, found: Remade): boolean {
  const follows = seal.number === last.number + 1n && seal.afterId === last.uptoId;
  return follows && found.transfers === seal.transfers && found.digest.equals(seal.digest);
}

async function remake(ctx: DbCtx, last: Seal, seal: Seal): Promise<Remade> {
  const digest = new SealDigest(last.digest, seal);
  let transfers = 0n;
  let afterId = seal.afterId;
  for (;;) {
    const page = await selectTransfers(ctx, { afterId, uptoId: seal.uptoId, limit: TRANSFERS_PAGE });
    for (const transfer of page) digest.add(transfer);
    transfers += BigInt(page.length);
    const end = page.at(-1);
    if (end === undefined || page.length < TRANSFERS_PAGE) return { transfers, digest: digest.digest() };
    afterId = end.id;
  }
}
