/** The bytes of a transfer that a seal covers. The form is for ever: another one would break every chain there is. */
import { createHash } from "node:crypto";

/** One leg of a transfer with the account that it is booked to. */
export interface SealedEntry {
  readonly line: number;
  readonly accountId: bigint;
  readonly kind: string;
  readonly ownerId: string;
  readonly accountCurrency: string;
  readonly currency: string;
  readonly amount: bigint;
  readonly atMicros: bigint;
}

/** A transfer with its entries in the order of their lines; times in microseconds since 1970, as the database keeps them. */
export interface SealedTransfer {
  readonly id: bigint;
  readonly key: string;
  readonly code: string;
  readonly currency: string;
  readonly amount: bigint;
  readonly holdId: string | null;
  readonly atMicros: bigint;
  readonly entries: readonly SealedEntry[];
}

/** What stands before the first seal. */
export const GENESIS = createHash("sha256").update("slipway ledger").digest();

/**
 * One line of JSON: an array of texts, so that no two transfers have the same bytes. The account's kind and owner are in it: whose
 * money it was can't be changed by changing the account either.
 */
export function canonicalTransfer(transfer: SealedTransfer): string {
  const { id, key, code, currency, amount, holdId, atMicros } = transfer;
  const entries = transfer.entries.map((entry) =>
    [
      entry.line,
      entry.accountId,
      entry.kind,
      entry.ownerId,
      entry.accountCurrency,
      entry.currency,
      entry.amount,
      entry.atMicros,
    ].map(String),
  );
  const head = [id, key, code, currency, amount, holdId ?? "", atMicros].map(String);
  return `${JSON.stringify([...head, entries])}\n`;
}

/** The digest of a seal, fed with its transfers in order. */
export class SealDigest {
  readonly #hash = createHash("sha256");

  constructor(
    previous: Buffer,
    span: { readonly number: bigint; readonly afterId: bigint; readonly uptoId: bigint },
  ) {
    this.#hash.update(previous);
    this.#hash.update(`${JSON.stringify([span.number, span.afterId, span.uptoId].map(String))}\n`);
  }

  add(transfer: SealedTransfer): void {
    this.#hash.update(canonicalTransfer(transfer));
  }

  digest(): Buffer {
    return this.#hash.digest();
  }
}
