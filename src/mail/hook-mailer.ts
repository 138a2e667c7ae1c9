/** The operator's hook: one signed POST for each message. */
import type { GuardedClient } from "../base/guarded-client.ts";
import { StatusError } from "../base/status.ts";
import { signedHeaders } from "../webhooks/index.ts";
import type { AddressedMail, Mailer } from "./ports.ts";

/** For name, connection, TLS and answer: a hook queues the mail and answers. */
const SEND_MS = 15_000;
/** Nothing of the answer is used but its status. */
const ANSWER_BYTES_MAX = 64 * 1_024;

export interface HookSettings {
  /** Where messages are posted; https, unless the client was told of the host. */
  readonly url: string;
  /** `whsec_` and base64, as the receiver's Standard Webhooks library takes it. */
  readonly secret: string;
}

export function hookMailer(client: GuardedClient, { url, secret }: HookSettings): Mailer {
  return {
    async send(ctx, mail) {
      const body = JSON.stringify(messageOf(mail));
      const signed = signedHeaders({ id: mail.id, at: ctx.clock.now(), body }, [secret]);
      const { status } = await client.fetch({
        url,
        method: "POST",
        headers: { "content-type": "application/json", ...signed },
        body,
        redirectsMax: 0,
        deadlineMs: SEND_MS,
        bodyBytesMax: ANSWER_BYTES_MAX,
      });
      if (status < 200 || status >= 300) throw refused(status);
    },
  };
}

/** What is posted. Documented for operators: fields are added, never changed. */
function messageOf({ to, userId, kind, subject, body, data, createdAt }: AddressedMail) {
  return { type: kind, timestamp: createdAt.toISOString(), to, userId, subject, text: body, data };
}

function refused(status: number): StatusError {
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "UNAVAILABLE",
    message: `The mail hook answered ${status}.`,
  });
}
