/** Calls to drivers, each with a deadline that holds even for a driver that ignores its signal. */
import type { BaseCtx } from "../../base/ctx.ts";
import { type Code, StatusError } from "../../base/status.ts";
import type { Driver, ReplicaObservation } from "../../providers/driver.ts";
import type { Attempt } from "../model.ts";
import type { ModelsDeps } from "../ports.ts";

/** Runs a call under a deadline. Throws DEADLINE when it passes, or what the call throws. */
export async function within<T>(
  ctx: BaseCtx,
  timeoutMs: number,
  call: (ctx: BaseCtx) => Promise<T>,
): Promise<T> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = ctx.signal ? AbortSignal.any([ctx.signal, timeout]) : timeout;
  let late: (() => void) | undefined;
  try {
    return await Promise.race([
      call({ ...ctx, signal }),
      new Promise<never>((_, reject) => {
        late = () => reject(overdue(timeoutMs));
        signal.addEventListener("abort", late, { once: true });
      }),
    ]);
  } finally {
    if (late) signal.removeEventListener("abort", late);
  }
}

function overdue(timeoutMs: number): StatusError {
  return new StatusError({
    code: "DEADLINE_EXCEEDED",
    reason: "DEADLINE",
    message: `The provider did not answer within ${timeoutMs / 1_000} s.`,
  });
}

/** Answers after which nobody knows whether the call had its effect. Everything else is a definite refusal. */
const UNCLEAR: ReadonlySet<Code> = new Set([
  "UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "INTERNAL",
  "UNKNOWN",
  "CANCELLED",
]);

export function isUnclear(error: StatusError): boolean {
  return UNCLEAR.has(error.code);
}

export function driverOf(deps: ModelsDeps, name: string): Driver | undefined {
  return deps.drivers.find((driver) => driver.name === name);
}

/** The refusal of a place that its operator took out of the configuration. */
export function placeGone(driver: string): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "PLACE_UNAVAILABLE",
    message: `The place ${driver} is not configured any more.`,
  });
}

/** Looks at many attempts with one call a driver. What could not be looked at is missing from the answer: unknown, not lost. */
export async function observeAll(
  ctx: BaseCtx,
  deps: ModelsDeps,
  attempts: readonly Attempt[],
): Promise<ReadonlyMap<string, ReplicaObservation>> {
  const byDriver = Map.groupBy(attempts, (attempt) => attempt.driver);
  const found = new Map<string, ReplicaObservation>();
  await Promise.all(
    [...byDriver].map(async ([name, group]) => {
      const driver = driverOf(deps, name);
      if (!driver) return;
      for (const seen of await observe(ctx, deps, driver, group)) found.set(seen.name, seen);
    }),
  );
  return found;
}

async function observe(
  ctx: BaseCtx,
  deps: ModelsDeps,
  driver: Driver,
  attempts: readonly Attempt[],
): Promise<readonly ReplicaObservation[]> {
  const names = attempts.map((attempt) => attempt.name);
  try {
    return await within(ctx, deps.limits.observeTimeoutMs, (bounded) => driver.observe(bounded, names));
  } catch (error) {
    ctx.log.warn({ err: error, driver: driver.name }, "provider could not be looked at");
    return [];
  }
}
