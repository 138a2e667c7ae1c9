/** Asks whether a caller may call now, and tells it how it stands. */
import { paceHeaders, rateLimited } from "../base/pace.ts";
import type { CallerKind, PaceCheck } from "./ports.ts";

const ADVICE = "call less often: a list or an event stream tells more than many single reads.";

/** The headers of an answer that is let through. Throws RATE_LIMITED with the same numbers. */
export function paced(
  check: PaceCheck | undefined,
  kind: CallerKind,
  id: string,
): Readonly<Record<string, string>> {
  const verdict = check?.(kind, id);
  if (!verdict) return {};
  if (!verdict.allowed) throw rateLimited(kind, verdict, ADVICE);
  return paceHeaders(kind, verdict);
}
