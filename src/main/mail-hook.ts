import { createGuardedClient } from "../base/guarded-client.ts";
import { hookMailer, type Mailer } from "../mail/index.ts";
import type { Config } from "./config.ts";
import { VERSION } from "./version.ts";

/** Whether this installation writes to its users at all. */
export function sendsMail(config: Config): boolean {
  return config.SLIPWAY_MAIL_HOOK_URL !== undefined;
}

/** Where messages are handed to; undefined where the operator configured no hook. */
export function mailHookOf(config: Config): { readonly mailer: Mailer; close(): Promise<void> } | undefined {
  const { SLIPWAY_MAIL_HOOK_URL: url, SLIPWAY_MAIL_HOOK_SECRET: secret } = config;
  if (url === undefined || secret === undefined) return undefined;
  const allowed = config.SLIPWAY_MAIL_HOOK_HOSTS;
  const client = createGuardedClient({ allowed, userAgent: `slipway/${VERSION}` });
  return { mailer: hookMailer(client, { url, secret }), close: client.close };
}
