/** The preflight's answer on the wire. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  CardState,
  type FitVerdictSchema,
  type MoneyVerdictSchema,
  type PlaceCandidateSchema,
  type PreflightAlternativeSchema,
  type PreflightModelResponse,
  PreflightModelResponseSchema,
  type PreflightProblemSchema,
  Room,
} from "../../gen/slipway/model/v1/preflight_service_pb.js";
import { CloudProvider } from "../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { GPUType } from "../../gen/tensormesh/common/v1/gpu_type_pb.js";
import { NANOS_PER_UNIT } from "../base/money.ts";
import { CODES, type StatusError } from "../base/status.ts";
import type { Candidate } from "./place.ts";
import type { Cost, Preflight } from "./preflight.ts";

export function preflightToWire(found: Preflight): PreflightModelResponse {
  const { money, cost, best, time, access } = found;
  return create(PreflightModelResponseSchema, {
    ok: found.problems.length === 0,
    problems: found.problems.map(problemToWire),
    ...(money && cost ? { money: moneyToWire(money, cost) } : {}),
    ...(best ? { fit: { ...fitToWire(best), measured: found.measured } } : {}),
    access: {
      ok: access.ok,
      exists: access.ok || access.problem?.reason === "WEIGHTS_GATED",
      gated: access.problem?.reason === "WEIGHTS_GATED",
      message: access.problem?.message ?? "The weights can be had.",
      revision: access.facts?.revision ?? "",
      sizeBytes: BigInt(access.facts?.sizeBytes ?? 0),
    },
    place: {
      ok: best?.possible ?? false,
      ...(best?.possible ? { chosen: candidateToWire(best) } : {}),
      candidates: found.candidates.map(candidateToWire),
      storageWarning: found.storageWarning,
    },
    ...(time
      ? {
          time: {
            ok: true,
            readySeconds: BigInt(time.readySeconds),
            downloadBytes: BigInt(time.downloadBytes),
            message: time.message,
            readySecondsP95: BigInt(time.readySecondsP95),
            starts: time.starts,
          },
        }
      : {}),
    ...(found.alternative ? { alternative: alternativeToWire(found.alternative) } : {}),
  });
}

function alternativeToWire({
  chosen,
  changes,
  cost,
}: NonNullable<Preflight["alternative"]>): MessageInitShape<typeof PreflightAlternativeSchema> {
  const told = changes.map(({ field, value }) => `${field} ${value === "" ? "left out" : value}`).join(", ");
  const { place } = chosen;
  return {
    place: candidateToWire(chosen),
    changes: changes.map((change) => ({ ...change })),
    pricePerHour: toMoney(cost.currency, cost.nanosPerHour),
    hold: toMoney(cost.currency, cost.holdNanos),
    message: `It would work at ${place.provider}/${place.region} with ${told}.`,
  };
}

function problemToWire(problem: StatusError): MessageInitShape<typeof PreflightProblemSchema> {
  return {
    code: CODES[problem.code],
    reason: problem.reason,
    message: problem.message,
    field: problem.violations[0]?.field ?? "",
    metadata: { ...problem.metadata },
  };
}

function moneyToWire(
  money: NonNullable<Preflight["money"]>,
  cost: Cost,
): MessageInitShape<typeof MoneyVerdictSchema> {
  const { currency, totalNanos, availableNanos } = money.balance;
  const burn = money.burnNanosPerHour + money.tokenNanosPerHour + cost.nanosPerHour;
  return {
    ok: money.ok,
    balance: toMoney(currency, totalNanos),
    available: toMoney(currency, availableNanos),
    card: { ok: CardState.VALID, missing: CardState.MISSING, expired: CardState.EXPIRED }[money.card],
    hold: toMoney(cost.currency, cost.holdNanos),
    pricePerHour: toMoney(cost.currency, cost.nanosPerHour),
    ...(burn > 0n ? runwayToWire((availableNanos * 3_600n) / burn) : {}),
  };
}

function fitToWire(best: Candidate): MessageInitShape<typeof FitVerdictSchema> {
  const fit = best.possible ? best.serving?.fit : best.fit;
  const engine = best.possible ? (best.serving?.engine.name ?? "") : best.engine;
  const needed = fit?.lines.reduce((sum, line) => sum + line.bytes, 0) ?? 0;
  return {
    ok: fit?.fits ?? false,
    lines: fit?.lines.map((line) => ({ item: line.item, bytes: BigInt(line.bytes) })) ?? [],
    availableBytes: BigInt(fit?.availableBytes ?? 0),
    neededBytes: BigInt(needed),
    contextTokens: BigInt(fit?.contextTokens ?? 0),
    contextMaxTokens: BigInt(fit?.contextMaxTokens ?? 0),
    engine,
  };
}

/** A deploy that can be paid for is never refused for this; who asks before should know. */
const SHORT_SECONDS = 3_600n;

function runwayToWire(runwaySeconds: bigint) {
  if (runwaySeconds >= SHORT_SECONDS) return { runwaySeconds };
  const runwayWarning = `With this model the balance lasts for ${runwaySeconds / 60n} min; then it is paused, with everything kept. Top up before, or switch on the automatic top-up.`;
  return { runwaySeconds, runwayWarning };
}

const ROOMS = { now: Room.NOW, none: Room.NONE, unknown: Room.UNSPECIFIED } as const;

function candidateToWire(candidate: Candidate): MessageInitShape<typeof PlaceCandidateSchema> {
  const { place, price, offer } = candidate;
  const perHour = price && price.nanosPerHour * BigInt(Math.max(1, place.gpuCount));
  return {
    cloudProvider: CloudProvider[place.provider],
    region: place.region,
    gpuType: GPUType[`GPU_TYPE_${place.gpuType}`],
    gpuCount: place.gpuCount,
    possible: candidate.possible,
    reason: candidate.possible ? "" : candidate.problem.reason,
    message: candidate.possible ? "" : candidate.problem.message,
    room: candidate.possible ? ROOMS[candidate.room] : Room.UNSPECIFIED,
    gpuCounts: [...(offer.gpuCounts ?? [])],
    gpuCountMax: offer.gpuCountMax,
    spot: offer.spot ?? false,
    gpuMemoryBytes: BigInt(offer.gpuMemoryBytes),
    ...(offer.gpuQuota ? { gpuQuotaMax: offer.gpuQuota.max, gpuQuotaUsed: offer.gpuQuota.used } : {}),
    ...(price && perHour !== undefined ? { pricePerHour: toMoney(price.currency, perHour) } : {}),
  };
}

function toMoney(currencyCode: string, nanos: bigint) {
  return { currencyCode, units: nanos / NANOS_PER_UNIT, nanos: Number(nanos % NANOS_PER_UNIT) };
}
