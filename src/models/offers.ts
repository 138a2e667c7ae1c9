/** What all drivers offer, with prices, and why nothing is offered where nothing is. */
import { type Reason, StatusError } from "../base/status.ts";
import type { DbCtx } from "../db/db.ts";
import type { Driver, RegionOffer } from "../providers/driver.ts";
import type { WantedPlace } from "./model.ts";
import type { Offer } from "./place.ts";
import type { ModelsDeps } from "./ports.ts";
import { within } from "./reconcile/calls.ts";

/** A driver that does not say what it has within this is taken as unavailable for now. */
const OFFERS_TIMEOUT_MS = 10_000;
/** Known places that an error names. */
const PLACES_NAMED_MAX = 20;

export interface Offered {
  readonly offers: readonly Offer[];
  /** The error of a wish that no offer is about. */
  readonly problem: StatusError;
}

export async function offersOf(ctx: DbCtx, deps: ModelsDeps, wanted: WantedPlace): Promise<Offered> {
  const asked = deps.drivers.filter((driver) => !wanted.provider || driver.provider === wanted.provider);
  const answers = await Promise.all(asked.map((driver) => ask(ctx, driver)));
  const found = answers.flatMap(({ driver, offers }) => offers.map((offer) => ({ driver, offer })));
  const here = found.filter(({ offer }) => !wanted.region || offer.region === wanted.region);
  const offers = await Promise.all(here.map(({ driver, offer }) => withPrice(ctx, deps, driver, offer)));
  const silent = answers.find(
    ({ driver, problem }) => problem && (!wanted.region || (driver.regions?.includes(wanted.region) ?? true)),
  );
  const known = found.map(({ driver, offer }) => `${driver.provider}/${offer.region}`);
  return { offers, problem: silent?.problem ?? unknown(wanted, [...new Set(known)]) };
}

const OWN_WORDS: readonly Reason[] = ["PLACE_UNAVAILABLE", "CONFIG_INVALID", "RATE_LIMITED"];

interface Answer {
  readonly driver: Driver;
  readonly offers: readonly RegionOffer[];
  /** Why it does not say what it offers. */
  readonly problem?: StatusError;
}

async function ask(ctx: DbCtx, driver: Driver): Promise<Answer> {
  try {
    const offers = await within(ctx, OFFERS_TIMEOUT_MS, (bounded) => driver.offers(bounded));
    return { driver, offers };
  } catch (error) {
    ctx.log.warn({ err: error, driver: driver.name }, "a driver does not say what it offers");
    return { driver, offers: [], problem: unavailable(driver, error) };
  }
}

async function withPrice(ctx: DbCtx, deps: ModelsDeps, driver: Driver, offer: RegionOffer): Promise<Offer> {
  const { provider, name } = driver;
  const { region, gpuType } = offer;
  const price = await deps.billing.gpuPrice(ctx, { provider, region, gpuType, at: ctx.clock.now() });
  return { ...offer, provider, driver: name, price };
}

function unknown(wanted: WantedPlace, known: readonly string[]): StatusError {
  const asked = wanted.region ? `${wanted.provider ?? "any"}/${wanted.region}` : (wanted.provider ?? "any");
  const shown = known.slice(0, PLACES_NAMED_MAX).join(", ");
  return new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "PLACE_UNKNOWN",
    message: `The place ${asked} is not configured here. ${shown === "" ? "None of that provider is." : `Known are ${shown}.`}`,
    metadata: { asked, known: shown },
    violations: [{ field: "infra", description: "names no configured place", reason: "PLACE_UNKNOWN" }],
  });
}

/** A driver that knows what is wrong with its place says it best. */
function unavailable(driver: Driver, error: unknown): StatusError {
  const own = error instanceof StatusError && OWN_WORDS.includes(error.reason) ? error.message : undefined;
  const message =
    own ??
    `The provider ${driver.provider} does not answer at the moment. Try again, or deploy to another place.`;
  return new StatusError({
    code: "UNAVAILABLE",
    reason: "PLACE_UNAVAILABLE",
    message,
    violations: [{ field: "infra", description: message, reason: "PLACE_UNAVAILABLE" }],
    retryAfterMs: 15_000,
  });
}
