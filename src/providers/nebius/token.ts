import type { BaseCtx } from "../../base/ctx.ts";

/** Exchanges whatever we have for a token and how long it lives. */
export type Exchange = (ctx: BaseCtx) => Promise<{ readonly token: string; readonly livesMs: number }>;

export interface TokenSource {
  /** A token with life left in it. Callers at the same moment share one exchange. */
  token(ctx: BaseCtx): Promise<string>;
  /** Called when it was refused: the next caller gets another. */
  forget(token: string): void;
}

/** A token is renewed when this part of its life is over. */
const RENEW_AT = 0.9;

export function tokenSource(exchange: Exchange): TokenSource {
  let known: { readonly token: string; readonly untilMs: number } | undefined;
  let asking: Promise<string> | undefined;
  const renew = async (ctx: BaseCtx) => {
    const beganMs = ctx.clock.monotonicMs();
    const { token, livesMs } = await exchange(ctx);
    known = { token, untilMs: beganMs + livesMs * RENEW_AT };
    return token;
  };
  return {
    async token(ctx) {
      if (known && known.untilMs > ctx.clock.monotonicMs()) return known.token;
      // Those who wait along must not end with the first caller's deadline.
      const { signal: _, ...unhurried } = ctx;
      asking ??= renew(unhurried).finally(() => {
        asking = undefined;
      });
      return asking;
    },
    forget(token) {
      if (known?.token === token) known = undefined;
    },
  };
}
