/** What a priced request is bounded by before it runs, and what it costs after. */
import { nanosForTokens } from "../base/money.ts";
import type { Bounded } from "./bounded.ts";
import { type ClientRequest, SURFACES } from "./client-request.ts";
import type { GatewayUsage, PublishedOffer } from "./ports.ts";
import type { Purse, Reservation } from "./purse.ts";
import { availableNanos, isShort, shortRefusal } from "./shortage.ts";

/** Below this an answer is of no use to anybody. */
const OUTPUT_TOKENS_MIN = 16;
/** What a chat template adds around a message, and around the whole, in tokens. */
const TEMPLATE_TOKENS_PER_MESSAGE = 16;
const TEMPLATE_TOKENS = 64;
/** When neither the request, the catalogue nor the model says how long an answer may be. */
const OUTPUT_TOKENS_DEFAULT_MAX = 32_768;

export interface Budgeted {
  readonly reservation: Reservation;
  /** Set where the money affords fewer output tokens than were possible. */
  readonly outputTokensMax: number | undefined;
}

/** Most tokens of input: no token is shorter than a byte, a template adds its share, and no prompt is longer than the context. */
export function inputTokensBound(request: ClientRequest, contextTokens: number): number {
  const messages = Array.isArray(request.json.messages) ? request.json.messages.length : 1;
  const byLength = request.bytes.length + messages * TEMPLATE_TOKENS_PER_MESSAGE + TEMPLATE_TOKENS;
  const inContext = contextTokens > 0 && SURFACES[request.surface].generates;
  return inContext ? Math.min(byLength, contextTokens * request.prompts) : byLength;
}

export function isPriced(price: PublishedOffer["price"]): boolean {
  return (
    price.inputNanosPerMillion > 0n || price.outputNanosPerMillion > 0n || price.cachedNanosPerMillion > 0n
  );
}

/** Who pays: a user, and what bounds the request beyond their balance. */
export interface Payer {
  readonly userId: string;
  readonly bounded: Bounded | undefined;
}

/** Reserves the request's bound. Throws BALANCE_TOO_LOW or BUDGET_EXCEEDED with what is needed and what is there. */
export async function reserve(
  purse: Purse,
  { userId, bounded }: Payer,
  request: ClientRequest,
  offer: PublishedOffer,
  contextTokens: number,
  deadlineAt: number,
): Promise<Budgeted> {
  const { generates } = SURFACES[request.surface];
  const longest = generates ? outputBound(request, offer, contextTokens) : 0;
  const bound = (output: number) => boundNanos(request, offer, contextTokens, output);
  try {
    const reservation = await purse.reserve(userId, bound(longest), deadlineAt, bounded);
    return { reservation, outputTokensMax: limitToTell(request, longest, contextTokens) };
  } catch (error) {
    if (!isShort(error)) throw error;
    if (request.outputTokensMax !== undefined || !generates) throw shortRefusal(error);
    const inHand = purse.largest(userId, deadlineAt, bounded);
    const atLedger = availableNanos(error);
    const affordable = affordableOutput(request, offer, bound(0), larger(inHand, atLedger));
    if (affordable < OUTPUT_TOKENS_MIN) throw shortRefusal(error);
    const reservation = await purse.reserve(userId, bound(affordable), deadlineAt, bounded);
    return { reservation, outputTokensMax: Math.min(affordable, longest) };
  }
}

/** The engine is told a limit only where it would make more by itself than what is reserved. */
function limitToTell(request: ClientRequest, longest: number, contextTokens: number): number | undefined {
  if (!SURFACES[request.surface].generates) return undefined;
  const engineStops = contextTokens > 0 && longest >= contextTokens;
  const clientStops = request.outputTokensMax !== undefined && request.outputTokensMax <= longest;
  return engineStops || clientStops ? undefined : longest;
}

/** The charge of a usage record: floored once. Cached tokens have their own price, which is zero unless an operator says otherwise. */
export function chargeNanos(
  usage: Pick<GatewayUsage, "promptTokens" | "cachedTokens" | "completionTokens">,
  price: PublishedOffer["price"],
): bigint {
  return nanosForTokens([
    { tokens: BigInt(usage.promptTokens - usage.cachedTokens), nanosPerMillion: price.inputNanosPerMillion },
    { tokens: BigInt(usage.cachedTokens), nanosPerMillion: price.cachedNanosPerMillion },
    { tokens: BigInt(usage.completionTokens), nanosPerMillion: price.outputNanosPerMillion },
  ]);
}

function outputBound(request: ClientRequest, offer: PublishedOffer, contextTokens: number): number {
  const asked = request.outputTokensMax ?? 0;
  const bounds = [asked, offer.limits.outputTokensMax, contextTokens].filter((one) => one > 0);
  return bounds.length === 0 ? OUTPUT_TOKENS_DEFAULT_MAX : Math.min(...bounds);
}

/** Rounded up by one nano, so that the floor of the parts never exceeds it. */
function boundNanos(
  request: ClientRequest,
  { price }: PublishedOffer,
  contextTokens: number,
  output: number,
): bigint {
  const { inputNanosPerMillion, cachedNanosPerMillion, outputNanosPerMillion } = price;
  const input = larger(inputNanosPerMillion, cachedNanosPerMillion);
  return (
    nanosForTokens([
      { tokens: BigInt(inputTokensBound(request, contextTokens)), nanosPerMillion: input },
      { tokens: BigInt(output) * BigInt(request.choices), nanosPerMillion: outputNanosPerMillion },
    ]) + 1n
  );
}

function affordableOutput(
  request: ClientRequest,
  offer: PublishedOffer,
  inputNanos: bigint,
  available: bigint,
): number {
  const perToken = offer.price.outputNanosPerMillion * BigInt(request.choices);
  const left = available - inputNanos - 1n;
  if (left <= 0n || perToken <= 0n) return 0;
  return Number((left * 1_000_000n) / perToken);
}

function larger(one: bigint, other: bigint): bigint {
  if (one < other) return other;
  return one;
}
