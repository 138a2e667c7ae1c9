/** How a caller stands within a rate limit, and the RateLimit headers that tell it, as the IETF's httpapi draft has them. */
import { isIPv6 } from "node:net";
import { StatusError } from "./status.ts";

export interface PaceVerdict {
  readonly allowed: boolean;
  readonly policy: { readonly requestsMax: number; readonly windowMs: number };
  readonly remaining: number;
  /** Until one more is free, or until the count begins anew; ms. */
  readonly resetMs: number;
}

/** `kind` is what is counted: token, key, address. */
export function paceHeaders(
  kind: string,
  { policy, remaining, resetMs }: PaceVerdict,
): Record<string, string> {
  return {
    "ratelimit-policy": policyOf(kind, policy),
    ratelimit: `"${kind}";r=${remaining};t=${Math.ceil(resetMs / 1_000)}`,
  };
}

const policies = new WeakMap<PaceVerdict["policy"], string>();

/** Said with every answer, so it is written once. A policy is of one kind. */
function policyOf(kind: string, policy: PaceVerdict["policy"]): string {
  let text = policies.get(policy);
  if (text === undefined) {
    text = `"${kind}";q=${policy.requestsMax};w=${Math.round(policy.windowMs / 1_000)}`;
    policies.set(policy, text);
  }
  return text;
}

/** What a caller over its limit is told, on every surface. `advice`: how it gets by with fewer calls there. */
export function rateLimited(kind: string, verdict: PaceVerdict, advice = ""): StatusError {
  const { requestsMax, windowMs } = verdict.policy;
  const windowSeconds = String(windowMs / 1_000);
  const rule = `This ${kind} may ask ${requestsMax} times in ${windowSeconds} seconds. Wait as Retry-After says`;
  return new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "RATE_LIMITED",
    message: advice === "" ? `${rule}.` : `${rule}, and ${advice}`,
    metadata: { limitedBy: kind, requestsMax: String(requestsMax), windowSeconds },
    retryAfterMs: waitMs(verdict),
  });
}

/** When it may be tried again; a second at the least. */
function waitMs({ resetMs }: PaceVerdict): number {
  return Math.max(1_000, Math.ceil(resetMs));
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
