/** One usage record as a line of the log: checksum, blank, JSON. */
import { crc32 } from "node:zlib";
import { z } from "zod";
import type { GatewayUsage } from "../ports.ts";

const CHECKSUM_DIGITS = 8;

const stored = z.object({
  requestId: z.string(),
  gatewayId: z.string(),
  modelId: z.string(),
  servedName: z.string(),
  userId: z.string(),
  keyId: z.string().nullable(),
  sliceId: z.string().nullable(),
  priceVersionId: z.string().nullable(),
  promptTokens: z.number(),
  cachedTokens: z.number(),
  completionTokens: z.number(),
  estimated: z.boolean(),
  outcome: z.enum(["ok", "client_gone", "upstream_error", "rejected"]),
  startedAt: z.coerce.date(),
  endedAt: z.coerce.date(),
  ttftMs: z.number().nullable(),
});

export function recordLine(usage: GatewayUsage): string {
  const json = recordJson(usage);
  return `${checksum(json)} ${json}\n`;
}

/** Field by field, since it is written for every request: dates as milliseconds, and texts quoted only where they need it. */
function recordJson(usage: GatewayUsage): string {
  return (
    `{"requestId":${quoted(usage.requestId)},"gatewayId":${quoted(usage.gatewayId)},"modelId":${quoted(usage.modelId)},` +
    `"servedName":${quoted(usage.servedName)},"userId":${quoted(usage.userId)},"keyId":${quoted(usage.keyId)},` +
    `"sliceId":${quoted(usage.sliceId)},"priceVersionId":${quoted(usage.priceVersionId)},` +
    `"promptTokens":${usage.promptTokens},"cachedTokens":${usage.cachedTokens},"completionTokens":${usage.completionTokens},` +
    `"estimated":${usage.estimated},"outcome":"${usage.outcome}",` +
    `"startedAt":${usage.startedAt.getTime()},"endedAt":${usage.endedAt.getTime()},"ttftMs":${usage.ttftMs}}`
  );
}

const PLAIN = /^[\w\-./:@+]*$/;

function quoted(text: string | null): string {
  if (text === null) return "null";
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** The whole records of a log's text, in order; reading ends at the first line that is not whole: a torn write, or the unused rest. */
export function recordsIn(text: string): readonly GatewayUsage[] {
  const records: GatewayUsage[] = [];
  for (let at = 0; ; ) {
    const end = text.indexOf("\n", at);
    if (end < 0) return records;
    const json = text.slice(at + CHECKSUM_DIGITS + 1, end);
    if (text.slice(at, at + CHECKSUM_DIGITS) !== checksum(json)) return records;
    records.push(stored.parse(JSON.parse(json)));
    at = end + 1;
  }
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(CHECKSUM_DIGITS, "0");
}
