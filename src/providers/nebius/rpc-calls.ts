/** How calls are made: with a deadline, tried again where nobody answered, page by page. */
import type { CallOptions } from "@connectrpc/connect";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import { refusal } from "./rpc-refusal.ts";

/** One call, as the cloud's own client has it for one try. */
const CALL_MS = 20_000;
const TRIES_MAX = 3;
const RETRY_FIRST_MS = 250;
/** A cluster has fewer groups than so many pages; half a list taken for a whole one would make machines absent. */
const PAGES_MAX = 50;

export function isCode(error: unknown, code: StatusError["code"]): boolean {
  return error instanceof StatusError && error.code === code;
}

/** Reads may be repeated, and writes carry a key by which a repeated one is known. What lacks is never asked for twice: it is an answer. */
export async function retrying<T>(
  ctx: BaseCtx,
  region: string,
  call: (options: CallOptions) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call({ timeoutMs: CALL_MS, ...(ctx.signal ? { signal: ctx.signal } : {}) });
    } catch (thrown) {
      if (ctx.signal?.aborted) throw thrown;
      const error = refusal(region, thrown);
      if (error.code !== "UNAVAILABLE" || tries >= TRIES_MAX) throw error;
      await ctx.clock.sleep(RETRY_FIRST_MS * 2 ** (tries - 1), ctx.signal);
    }
  }
}

export async function pages<T>(
  region: string,
  page: (token: string) => Promise<{ readonly items: readonly T[]; readonly next: string }>,
): Promise<readonly T[]> {
  const all: T[] = [];
  let token = "";
  for (let count = 0; count < PAGES_MAX; count++) {
    const { items, next } = await page(token);
    all.push(...items);
    if (next === "") return all;
    token = next;
  }
  throw new StatusError({
    code: "UNAVAILABLE",
    reason: "PLACE_UNAVAILABLE",
    message: `Nebius has more in region ${region} than is read.`,
  });
}
