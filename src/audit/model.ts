/** What the audit log holds: who did what to whom, and who was refused what. */
import type { Reason } from "../base/status.ts";

/** Every action, with the sentence that a user reads. Docs list them all. */
export const ACTIONS = {
  "user.created": "An account was made.",
  "user.updated": "The profile was changed.",
  "user.accepted_terms": "The terms of use were accepted.",
  "user.role_changed": "An account's role was changed.",
  "user.disabled": "An account was disabled.",
  "user.enabled": "An account was enabled.",
  "user.invited": "A code was made that sets a password.",
  "user.password_set": "A password was set.",
  "user.logged_in": "Somebody logged in with the password.",
  "user.login_failed": "A wrong password was tried.",
  "admin.bootstrapped": "The first administrator was made, or brought back, on the host.",
  "token.created": "An access token was made.",
  "token.revoked": "An access token was revoked.",
  "key.created": "An API key was made.",
  "key.deleted": "An API key was deleted.",
  "key.rotated": "An API key got a new secret.",
  "model.deployed": "A model was deployed.",
  "model.updated": "A model was changed.",
  "model.paused": "A model was paused.",
  "model.resumed": "A model was resumed.",
  "model.retried": "A failed model was started again.",
  "model.deleted": "A model was deleted.",
  "card.attached": "A payment method was put on file.",
  "card.detached": "A payment method was taken off the file.",
  "card.made_default": "A payment method was made the default.",
  "card.setup_started": "Putting a payment method on file was begun.",
  "auto_top_up.set": "The automatic top-up was set.",
  "budget.set": "A budget was set.",
  "budget.removed": "A budget was removed.",
  "balance.runway_low": "The balance lasts for a short time only.",
  "balance.topped_up": "A payment into the balance was made.",
  "ticket.opened": "A ticket was opened.",
  "ticket.answered": "A message was added to a ticket.",
  "ticket.closed": "A ticket was closed.",
  "storage.created": "External storage was made.",
  "storage.updated": "External storage was changed.",
  "storage.deleted": "External storage was deleted.",
  "storage.detached": "A model was taken out of external storage.",
  "storage.attached": "A model was let into external storage again.",
  "webhook.created": "A webhook endpoint was made.",
  "webhook.updated": "A webhook endpoint was changed.",
  "webhook.deleted": "A webhook endpoint was deleted.",
  "webhook.secret_rotated": "A webhook endpoint got a new secret.",
  "webhook.pinged": "A test event was sent to a webhook endpoint.",
  "webhook.replayed": "A webhook delivery was sent again.",
  "credit.granted": "Credit was granted.",
  "credit.expiring": "Credit ends within a week.",
  "credit.expired": "Credit ended unspent.",
  "payment.refunded": "A refund of a payment was ordered.",
  "journal.read": "The journal of a month was read or exported.",
  "adjustment.proposed": "A correction of the balance was proposed.",
  "adjustment.posted": "The balance was corrected by one administrator, within the bound.",
  "adjustment.approved": "A correction of the balance was approved by a second administrator.",
  "adjustment.rejected": "A correction of the balance was refused.",
  "adjustment.expired": "A proposed correction of the balance was not decided in time.",
  "price.set": "A price was set.",
  "price.removed": "A price was ended.",
  "provider_cost.set": "What a provider costs was told.",
  "catalog.published": "A deployment was published in the catalogue.",
  "catalog.unpublished": "A name was taken out of the catalogue.",
  "admin.read": "An administrator looked at data of an account.",
  "admin.changed": "An administrator changed something of an account.",
  "call.refused": "A call was refused.",
  "audit.purged": "Old events were deleted, as the installation's retention asks.",
  "audit.overflowed": "More happened at once than could be written down; only the count is kept.",
} as const;

export type AuditAction = keyof typeof ACTIONS;

export type Outcome = "OK" | "REFUSED";

/** What a domain says of something that happened. Who did it comes from the ctx. */
export interface NewAuditEvent {
  readonly action: AuditAction;
  /** The user to whom it happened; absent for nobody in particular. */
  readonly subjectId?: string | undefined;
  /** `kind:id`, such as `key:1b4e…`; absent for nothing in particular. */
  readonly resource?: string;
  /** Why it was refused; absent for what was done. */
  readonly reason?: Reason;
  /** Facts by name. Never a secret, nor what a user wrote. */
  readonly details?: Readonly<Record<string, string>>;
}

export interface AuditEvent {
  readonly id: string;
  readonly at: Date;
  /** Null: nobody is known, or the installation itself. */
  readonly actorId: string | null;
  readonly tokenId: string;
  /** One of ACTIONS; a later version's may be unknown here. */
  readonly action: string;
  readonly subjectId: string | null;
  readonly resource: string;
  readonly outcome: Outcome;
  /** Why it was refused; "" otherwise. */
  readonly reason: string;
  readonly requestId: string;
  readonly address: string;
  /** How often, within the minute that ended at `at`. */
  readonly times: number;
  readonly details: Readonly<Record<string, string>>;
}
