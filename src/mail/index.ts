export { deliverMail, purgeMail } from "./deliver-mail.ts";
export { type HookSettings, hookMailer } from "./hook-mailer.ts";
export type { MailValue, NewMail } from "./model.ts";
export type { AddressedMail, Mailer } from "./ports.ts";
export { queueMail } from "./queue-mail.ts";
