/** The catalogue: deployments that are offered to every user under a served name, paid by the token. */

export interface CatalogLimits {
  /** Requests of all accounts that one gateway lets through at the same time, fairly in turn; 0 = the gateway's own limit. */
  readonly concurrencyMax: number;
  /** Output tokens of one request; 0 = no limit of the entry's own. */
  readonly outputTokensMax: number;
}

export interface CatalogEntry {
  /** The name that requests carry as `model`. */
  readonly servedName: string;
  /** The deployment behind it. */
  readonly modelId: string;
  readonly limits: CatalogLimits;
  readonly ownerAgreed: boolean;
  readonly publishedBy: string;
  readonly publishedAt: Date;
}

/** Prices of a served name in force, in nanos of a currency for a million tokens. */
export interface OfferPrice {
  readonly versionId: string;
  readonly currency: string;
  readonly inputNanosPerMillion: bigint;
  readonly cachedNanosPerMillion: bigint;
  readonly outputNanosPerMillion: bigint;
}

/** An entry that can be called and paid for. */
export interface Published extends CatalogEntry {
  readonly price: OfferPrice;
}

export type NewPrice = Omit<OfferPrice, "versionId">;
