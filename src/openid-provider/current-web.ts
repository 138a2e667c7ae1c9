import type { JWK } from "jose";
import { sharedRun } from "../base/shared-run.ts";
import { configuredProvider, type ProviderInput } from "./provider.ts";
import { REFRESH_KEYS_MS, signingKeys } from "./signing-keys.ts";
import type { Web } from "./web.ts";

export interface CurrentWebInput extends Omit<ProviderInput, "keys"> {
  readonly ctx: Web["ctx"];
  readonly publicUrl: string;
}

/**
 * The provider with the keys that are in force, made anew when they have changed: the library takes keys at its making alone.
 * All that it knows is in the database, so a login that began with one goes on with the next.
 */
export async function currentWeb(input: CurrentWebInput): Promise<() => Promise<Web>> {
  const { ctx, box } = input;
  let keys = await signingKeys(ctx, box);
  let web = webOf(input, keys);
  let lookedAt = ctx.clock.monotonicMs();
  const look = async (): Promise<void> => {
    lookedAt = ctx.clock.monotonicMs();
    const now = await signingKeys(ctx, box);
    if (idsOf(now) === idsOf(keys)) return;
    keys = now;
    web = webOf(input, keys);
    ctx.log.info({ event: "signing-keys", keyId: keys[0]?.kid }, "access tokens are signed by another key");
  };
  const lookAgain = sharedRun(() =>
    look().catch((error: unknown) => ctx.log.warn({ err: error }, "the signing keys could not be looked at")),
  );
  return async () => {
    if (ctx.clock.monotonicMs() - lookedAt >= REFRESH_KEYS_MS) await lookAgain();
    return web;
  };
}

function webOf({ ctx, publicUrl, ...input }: CurrentWebInput, keys: readonly JWK[]): Web {
  const provider = configuredProvider(ctx, { ...input, keys });
  return { ctx, box: input.box, provider, answer: provider.callback(), publicUrl };
}

function idsOf(keys: readonly JWK[]): string {
  return keys.map((key) => key.kid).join();
}
