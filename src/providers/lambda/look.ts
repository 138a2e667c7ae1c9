/** The list of all instances, which is how everything is found: shared among who asks at the same time, for Lambda takes one request a second. */
import type { BaseCtx } from "../../base/ctx.ts";
import type { ReplicaName } from "../driver.ts";
import type { LambdaApi } from "./api.ts";
import { type NameParts, partsOf } from "./instance-name.ts";
import { type Instance, isGone } from "./seen.ts";

/** An instance of ours that is there. */
export interface Ours extends NameParts {
  readonly instance: Instance;
}

export interface Look {
  /** When Lambda was asked: what is told holds for no later moment. */
  readonly at: Date;
  readonly all: readonly Ours[];
}

export interface Looker {
  /** Looks that began before `ageMaxMs` ago don't count; 0: one that begins now. */
  (ctx: BaseCtx, ageMaxMs: number): Promise<Look>;
  /** After a change of our own: what was seen before it says nothing any more. */
  forget(): void;
}

interface Run {
  readonly startedMs: number;
  readonly look: Promise<Look>;
}

export function looker(api: LambdaApi): Looker {
  let last: Run | undefined;
  const look = async (ctx: BaseCtx, ageMaxMs: number) => {
    const now = ctx.clock.monotonicMs();
    if (last && (ageMaxMs > 0 ? now - last.startedMs <= ageMaxMs : last.startedMs > now)) return last.look;
    // Others wait for the same answer: the signal of one of them must not end it. The client has deadlines of its own.
    const { signal: _mine, ...shared } = ctx;
    const run = { startedMs: now, look: lookNow(shared, api) };
    last = run;
    run.look.catch(() => {
      if (last === run) last = undefined;
    });
    return run.look;
  };
  const forget = () => {
    last = undefined;
  };
  return Object.assign(look, { forget });
}

async function lookNow(ctx: BaseCtx, api: LambdaApi): Promise<Look> {
  const at = ctx.clock.now();
  const instances = await api.instances(ctx);
  const all = instances.flatMap((instance) => {
    const parts = partsOf(instance.name);
    return parts && !isGone(instance) ? [{ ...parts, instance }] : [];
  });
  return { at, all };
}

/** Of one replica, the first launched first. There is one, but for a launch whose answer was lost and came late. */
export function ofReplica({ all }: Look, name: ReplicaName): readonly Ours[] {
  return all
    .filter((one) => one.replica === name)
    .sort(
      (a, b) => a.launchedAt.getTime() - b.launchedAt.getTime() || (a.instance.id < b.instance.id ? -1 : 1),
    );
}
