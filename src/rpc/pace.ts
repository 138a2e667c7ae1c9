/** Asks whether a caller may call now, and tells it how it stands: RateLimit headers as the IETF's httpapi draft has them. */
import { isIPv6 } from "node:net";
import { StatusError } from "../base/status.ts";
import type { CallerKind, PaceCheck, PaceVerdict } from "./ports.ts";

/** The headers of an answer that is let through. Throws RATE_LIMITED with the same numbers. */
export function paced(
  check: PaceCheck | undefined,
  kind: CallerKind,
  id: string,
): Readonly<Record<string, string>> {
  const verdict = check?.(kind, id);
  if (!verdict) return {};
  if (verdict.allowed) return paceHeaders(kind, verdict);
  const { requestsMax, windowMs } = verdict.policy;
  throw new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "RATE_LIMITED",
    message: `This ${kind} may call ${requestsMax} times in ${windowMs / 1_000} seconds. Wait as Retry-After says, and call less often: a list or an event stream tells more than many single reads.`,
    metadata: { limitedBy: kind, requestsMax: String(requestsMax), windowSeconds: String(windowMs / 1_000) },
    retryAfterMs: Math.max(1_000, Math.ceil(verdict.resetMs)),
  });
}

export function paceHeaders(
  kind: CallerKind,
  { policy, remaining, resetMs }: PaceVerdict,
): Record<string, string> {
  return {
    "ratelimit-policy": `"${kind}";q=${policy.requestsMax};w=${Math.round(policy.windowMs / 1_000)}`,
    ratelimit: `"${kind}";r=${remaining};t=${Math.ceil(resetMs / 1_000)}`,
  };
}

/** Who an address stands for: of IPv6 the /64, since whoever has one address there has them all. */
export function addressId(address: string): string {
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped) return mapped;
  const [head = "", tail] = address.split("%", 1)[0]?.split("::") ?? [];
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros =
    tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => "0");
  const groups = [...left, ...zeros, ...right]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16));
  return `${groups.join(":")}::/64`;
}
