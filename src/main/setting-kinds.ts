/** Kinds of settings: their bounds, and how their text is read. */
import { isIP } from "node:net";
import { z } from "zod";
import { SIGNING_ALGORITHMS } from "../oidc/signing-algorithms.ts";

export const port = (fallback: number) => z.coerce.number().int().min(0).max(65_535).default(fallback);
export const optionalPort = z.coerce.number().int().min(0).max(65_535).optional();
export const seconds = (fallback: number, min: number, max: number) =>
  z.coerce.number().int().min(min).max(max).default(fallback);
export const rate = (fallback: number) => z.coerce.number().int().min(0).max(10_000_000).default(fallback);
export const gib = (fallback: number) => z.coerce.number().min(0).max(1_000_000).default(fallback);
const split = (separator: RegExp) =>
  z
    .string()
    .default("")
    .transform((text) =>
      text
        .split(separator)
        .map((part) => part.trim())
        .filter((part) => part !== ""),
    );
export const paths = split(/[,:]/);
/** Hosts may have ports, and ranges colons: commas alone part them. */
export const hosts = split(/,/);

export const algorithms = z
  .string()
  .default("RS256,PS256,ES256,EdDSA")
  .transform((text) => text.split(",").map((part) => part.trim()))
  .refine((all) => all.every((one) => SIGNING_ALGORITHMS.some((known) => known === one)), {
    error: `must be some of ${SIGNING_ALGORITHMS.join(", ")}`,
  });
export const ranges = hosts.refine(
  (all) => all.every(isRange),
  "must be IP addresses or ranges like 10.0.0.0/8",
);

const UNIT_SECONDS: Readonly<Record<string, number>> = { m: 60, h: 3_600, d: 86_400 };
/** More would be noise; the longest is a quarter of a year. */
const MARKS_MAX = 10;
const MARK_MAX_SECONDS = 92 * 86_400;

/** "24h,6h,1h" as seconds, longest first. */
export const marks = z
  .string()
  .default("24h,6h,1h")
  .transform((text, issues) => {
    const seconds = text === "none" ? [] : text.split(",").map(secondsOf);
    const whole = seconds.every((one) => one > 0 && one <= MARK_MAX_SECONDS);
    if (!whole || seconds.length > MARKS_MAX || new Set(seconds).size < seconds.length) {
      const message = "must be at most ten different times of up to 92 days, such as 24h,6h,30m, or none";
      issues.addIssue({ code: "custom", message });
    }
    return seconds.sort((a, b) => b - a);
  });

function secondsOf(text: string): number {
  const [, count, unit = ""] = /^(\d{1,5})([mhd])$/.exec(text.trim()) ?? [];
  return Number(count) * (UNIT_SECONDS[unit] ?? Number.NaN);
}

function isRange(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128));
}
