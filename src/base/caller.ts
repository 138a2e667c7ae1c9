/**
 * Who asked for some work: what the audit log says of it. The edge makes one for each call and puts it into the ctx; it is absent
 * where nobody asked (a worker's pass) and where whoever holds the host did.
 */
export interface Caller {
  readonly userId: string;
  /** Id of the token that was shown. */
  readonly tokenId: string;
  readonly requestId: string;
  /** Where the call came from; "" when unknown. */
  readonly address: string;
  /** Hears that the work came to what another user owns, and whether the caller was let in. */
  reached(ownerId: string, allowed: boolean): void;
  /** Hears that the audit log has an event of this call; none need be added for it. */
  recorded(): void;
}
