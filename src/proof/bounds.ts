/** How long free money may be out of a request's reach, and why it ever is. */
import { SLICE_SETTLE_AFTER_MS, SLICE_SPEND_MS } from "../billing/index.ts";

/** Workers settle slices that nobody closed once a minute; a look of theirs may be as late again. */
const SETTLE_LATE_MS = 2 * 60_000;
/** Until a gateway that lives has shipped what was used and closed the slice: it looks once a second, and asks again after a failure. */
const GIVE_BACK_MS = 60_000;
/** How far the clocks of two hosts of one installation may be apart. */
export const CLOCK_SKEW_MAX_MS = 30_000;

/**
 * Longest time for which a request is refused though money is free, while every gateway lives and reaches the ledger: the money lies in
 * slices of other gateways, which are recalled at the refusal, take no more requests, and are over with their last one.
 */
export const REFUSED_MAX_MS = SLICE_SPEND_MS + GIVE_BACK_MS;

/**
 * The same after a gateway was lost, or the way to it: what it had leased comes back when usage can no longer come, an hour after
 * the last request under it.
 */
export const REFUSED_AFTER_LOSS_MAX_MS =
  SLICE_SPEND_MS + SLICE_SETTLE_AFTER_MS + SETTLE_LATE_MS + 2 * CLOCK_SKEW_MAX_MS;
