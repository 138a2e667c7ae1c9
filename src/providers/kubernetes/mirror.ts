/**
 * The objects of one kind that a watch keeps up to date, between full lists. A watch may be silent because nothing happens or because
 * it is dead, so what was neither listed nor heard of for STALE_MAX_MS is listed again: no answer is ever older than that. And however
 * much is heard, the list is the truth, and comes at least each LIST_AGAIN_MS.
 */
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { KubeApi, ListOf } from "./api.ts";
import type { Meta } from "./seen.ts";

/** Less than the age from which on an observation says nothing any more, so that a look is never wasted. */
export const STALE_MAX_MS = 20_000;
/** What a watch missed is wrong no longer than so. */
export const LIST_AGAIN_MS = 300_000;
/** A watch that nobody looked at for so long ends: it holds a connection. */
const IDLE_MAX_MS = 120_000;
/** After a watch that broke, or was refused: until then each look is a list. */
const WATCH_AGAIN_MS = 5_000;
const WATCH_REFUSED_MS = 300_000;
/** Between two watches of which the first ended as it should. */
const WATCH_PAUSE_MS = 500;

export interface Mirrored<T> {
  readonly items: readonly T[];
  /** They were so at this moment, or later. */
  readonly at: Date;
}

export interface Mirror<T> {
  /** From what is kept where that is young enough, else from a full list; callers at the same moment share one. */
  all(ctx: BaseCtx): Promise<Mirrored<T>>;
  /** What is kept is behind a write of our own: the next answer is a list. */
  forget(): void;
  close(): void;
}

interface Kept<T> {
  readonly byName: Map<string, T>;
  /** When it was listed, or the watch was last heard of. */
  at: Date;
  heardMs: number;
  readonly listedMs: number;
  version: string;
}

export function mirror<T extends Meta>(api: KubeApi, what: ListOf<T>): Mirror<T> {
  let kept: Kept<T> | undefined;
  let listing: Promise<Kept<T>> | undefined;
  let watching: AbortController | undefined;
  let usedMs = 0;
  let watchAgainMs = 0;
  let writes = 0;

  /** Follows what changes after a list, until it breaks, is replaced, or nobody asks any more. */
  const follow = async (ctx: BaseCtx, from: Kept<T>, over: AbortController) => {
    const { signal } = over;
    for (;;) {
      const changes = await api.watch({ ...ctx, signal }, what, from.version);
      for await (const { version, object, gone } of changes) {
        if (object && gone) from.byName.delete(object.metadata.name);
        else if (object) from.byName.set(object.metadata.name, object);
        if (version !== "") from.version = version;
        from.at = ctx.clock.now();
        from.heardMs = ctx.clock.monotonicMs();
        if (from.heardMs - usedMs > IDLE_MAX_MS) return over.abort();
      }
      await ctx.clock.sleep(WATCH_PAUSE_MS, signal);
    }
  };
  const watchFrom = (ctx: BaseCtx, from: Kept<T>) => {
    watching?.abort();
    if (ctx.clock.monotonicMs() < watchAgainMs) return;
    const over = new AbortController();
    watching = over;
    follow(ctx, from, over).catch((error: unknown) => {
      if (over.signal.aborted) return;
      over.abort();
      // A version that is too old (410) is only a reason for another list.
      if (error instanceof StatusError && error.code === "ABORTED") return;
      const refused = error instanceof StatusError && error.code === "PERMISSION_DENIED";
      watchAgainMs = ctx.clock.monotonicMs() + (refused ? WATCH_REFUSED_MS : WATCH_AGAIN_MS);
      ctx.log.debug({ err: error, region: api.region, resource: what.resource }, "a watch broke");
    });
  };
  const list = async (ctx: BaseCtx): Promise<Kept<T>> => {
    const before = writes;
    const [at, heardMs] = [ctx.clock.now(), ctx.clock.monotonicMs()];
    const { items, version } = await api.listAt(ctx, what);
    const byName = new Map(items.map((item) => [item.metadata.name, item]));
    const fresh = { byName, at, heardMs, listedMs: heardMs, version };
    if (before !== writes) return fresh;
    kept = fresh;
    watchFrom(ctx, fresh);
    return fresh;
  };
  const usable = (nowMs: number) => {
    if (!kept || !watching || watching.signal.aborted) return undefined;
    return nowMs - kept.heardMs <= STALE_MAX_MS && nowMs - kept.listedMs <= LIST_AGAIN_MS ? kept : undefined;
  };
  /** Shared by who asks meanwhile, so the first caller's deadline does not end it; each of its calls has one. */
  const listed = ({ clock, random, log }: BaseCtx) => {
    if (listing) return listing;
    const mine: Promise<Kept<T>> = list({ clock, random, log }).finally(() => {
      if (listing === mine) listing = undefined;
    });
    listing = mine;
    return mine;
  };

  const forget = () => {
    writes++;
    kept = undefined;
    listing = undefined;
    watching?.abort();
  };
  return {
    async all(ctx) {
      usedMs = ctx.clock.monotonicMs();
      const young = usable(usedMs);
      if (young) return { items: [...young.byName.values()], at: young.at };
      const { byName, at } = await listed(ctx);
      return { items: [...byName.values()], at };
    },
    forget,
    // A list that is still under way begins no watch after it.
    close: forget,
  };
}
