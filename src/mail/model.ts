/** A message to a user, before anybody knows the address. */
export interface NewMail {
  readonly userId: string;
  /** What it is about, such as `balance.runway_low`: a receiver picks a template by it. */
  readonly kind: string;
  /** Plain text of one line. */
  readonly subject: string;
  /** Plain text. */
  readonly body: string;
  /** The same as facts, for templates. Amounts and ids: no secrets, no texts of users. */
  readonly data: Readonly<Record<string, MailValue>>;
}
export type MailValue = string | number | { readonly [name: string]: MailValue };

export interface Mail extends NewMail {
  readonly id: string;
  /** This attempt's number, from 1. */
  readonly attempt: number;
  readonly createdAt: Date;
}

/** Attempts at one message: with the delays below over about two days. */
export const ATTEMPTS_MAX = 10;
/** A message that is older tells nothing worth knowing. */
export const KEPT_MS = 7 * 24 * 3_600_000;
const DELAY_FIRST_MS = 60_000;
const DELAY_FACTOR = 4;
const DELAY_MAX_MS = 8 * 3_600_000;

/** How long to wait after so many attempts: 1 min, 4 min, 16 min … up to 8 h. */
export function retryDelayMs(attempts: number): number {
  return Math.min(DELAY_FIRST_MS * DELAY_FACTOR ** (attempts - 1), DELAY_MAX_MS);
}
