/** What this domain is given: whoever sends mail. */
import type { BaseCtx } from "../base/ctx.ts";
import type { Mail } from "./model.ts";

/** A message with its address. */
export interface AddressedMail extends Mail {
  readonly to: string;
}

export interface Mailer {
  /** Resolves when the message was taken. Throws a StatusError with a sentence for the log: then it comes again. */
  send(ctx: BaseCtx, mail: AddressedMail): Promise<void>;
}
