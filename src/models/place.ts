/** Which places could run a model, and why the others could not. Pure; the first possible one is chosen. */
import { type Reason, StatusError } from "../base/status.ts";
import type { Engine, Fit, Hardware, SpecValues, Switches, WeightsFacts } from "../engines/engine.ts";
import { checkSpec } from "../engines/spec.ts";
import type { RegionOffer } from "../providers/driver.ts";
import type { Place, Provider, WantedPlace } from "./model.ts";
import type { GpuPrice } from "./ports.ts";

/** What a driver offers at one region with one kind of hardware, and what it costs there. */
export interface Offer extends RegionOffer {
  readonly driver: string;
  readonly provider: Provider;
  /** Of the hardware kind in question; undefined where none is set. */
  readonly price: GpuPrice | undefined;
}

/** What is to be run; `weights` undefined when they could not be looked at: then only the place itself is judged. */
export interface Workload {
  readonly wanted: WantedPlace;
  readonly weights: WeightsFacts | undefined;
  readonly switches: Switches;
  readonly modelSpec: unknown;
}

/** Whether the provider says that it has this much now; "none" is waited for. */
export type Room = "now" | "none" | "unknown";

export interface Possible {
  readonly possible: true;
  readonly offer: Offer;
  readonly place: Place;
  readonly hardware: Hardware;
  readonly price: GpuPrice;
  readonly room: Room;
  /** Undefined with undefined weights. */
  readonly serving: { readonly engine: Engine; readonly spec: SpecValues; readonly fit: Fit } | undefined;
}

export interface Impossible {
  readonly possible: false;
  readonly offer: Offer;
  readonly place: Place;
  readonly price: GpuPrice | undefined;
  readonly problem: StatusError;
  /** How many checks it passed: of all that is impossible, the one that came furthest is the answer. */
  readonly passed: number;
  /** The memory plan, where the memory is the problem. */
  readonly fit: Fit | undefined;
  readonly engine: string;
}

export type Candidate = Possible | Impossible;

/** How replicas of a region are reached, as far as this control plane can. */
const REACHED: readonly RegionOffer["reach"][] = ["direct", "tls"];

/**
 * Judges every offer that the wish allows, best first: what has no room at the moment last, on-premises before clouds, then the
 * cheaper, then the smaller memory, which leaves the larger to those who need it.
 */
export function candidates(
  offers: readonly Offer[],
  work: Workload,
  engines: readonly Engine[],
): readonly Candidate[] {
  return offers
    .filter((offer) => isWanted(offer, work.wanted))
    .map((offer) => judge(offer, work, engines))
    .sort(compare);
}

/** The place of the deploy, or the problem of the candidate that came furthest. */
export function choose(all: readonly Candidate[]): Candidate | undefined {
  let furthest: Impossible | undefined;
  for (const candidate of all) {
    if (candidate.possible) return candidate;
    if (!furthest || candidate.passed > furthest.passed) furthest = candidate;
  }
  return furthest;
}

function isWanted(offer: Offer, wanted: WantedPlace): boolean {
  if (wanted.provider !== undefined && offer.provider !== wanted.provider) return false;
  return wanted.region === undefined || offer.region === wanted.region;
}

function compare(a: Candidate, b: Candidate): number {
  const isFull = (one: Candidate) => Number(one.possible && one.room === "none");
  const isAway = (one: Candidate) => Number(one.place.provider !== "ONPREM");
  return (
    isFull(a) - isFull(b) ||
    isAway(a) - isAway(b) ||
    comparePrice(a.price, b.price) ||
    a.offer.gpuMemoryBytes - b.offer.gpuMemoryBytes
  );
}

function roomOf({ gpuCountsFree }: Offer, { gpuCount }: WantedPlace): Room {
  if (gpuCountsFree === undefined) return "unknown";
  return gpuCountsFree.includes(gpuCount) ? "now" : "none";
}

function comparePrice(a: GpuPrice | undefined, b: GpuPrice | undefined): number {
  if (!a || !b) return Number(b !== undefined) - Number(a !== undefined);
  return a.nanosPerHour < b.nanosPerHour ? -1 : Number(a.nanosPerHour > b.nanosPerHour);
}

type Check = (offer: Offer, work: Workload) => StatusError | undefined;

/** In this order; each offer's first problem is its answer. */
const CHECKS: readonly Check[] = [checkKind, checkSpot, checkReach, checkNode, checkCount, checkQuota];

function judge(offer: Offer, work: Workload, engines: readonly Engine[]): Candidate {
  const place = placeOf(offer, work.wanted);
  const refuse = (problem: StatusError, passed: number, fit?: Fit, engine = ""): Impossible => ({
    possible: false,
    offer,
    place,
    price: offer.price,
    problem,
    passed,
    fit,
    engine,
  });
  for (const [passed, check] of CHECKS.entries()) {
    const problem = check(offer, work);
    if (problem) return refuse(problem, passed);
  }
  const hardware = hardwareOf(offer, work.wanted);
  const serving = work.weights && serve(offer, work, work.weights, hardware, engines);
  if (serving instanceof StatusError) return refuse(serving, CHECKS.length);
  if (serving && !serving.fit.fits) {
    return refuse(tooLarge(at(offer), serving.fit), CHECKS.length + 1, serving.fit, serving.engine.name);
  }
  if (!offer.price) return refuse(noPrice(offer), CHECKS.length + 2, serving?.fit, serving?.engine.name);
  const room = roomOf(offer, work.wanted);
  return { possible: true, offer, place, hardware, price: offer.price, room, serving };
}

function placeOf(offer: Offer, wanted: WantedPlace): Place {
  const { driver, provider, region, gpuType } = offer;
  return { driver, provider, region, gpuType, gpuCount: wanted.gpuCount, nodeId: wanted.nodeId };
}

function hardwareOf(offer: Offer, wanted: WantedPlace): Hardware {
  const { gpuType, gpuMemoryBytes, cpuMemoryBytes, cpuCount } = offer;
  return { gpuType, gpuCount: wanted.gpuCount, gpuMemoryBytes, cpuMemoryBytes, cpuCount };
}

function serve(
  offer: Offer,
  work: Workload,
  weights: WeightsFacts,
  hardware: Hardware,
  engines: readonly Engine[],
): { engine: Engine; spec: SpecValues; fit: Fit } | StatusError {
  const able = engines.filter((one) => one.supports(weights, hardware));
  const engine = able.find((one) => offer.engines === undefined || offer.engines.includes(one.name));
  if (!engine) return unsupported(offer, weights, able[0]);
  const { switches } = work;
  const checked = checkSpec(engine, { weights, hardware, switches }, work.modelSpec);
  if (!checked.ok) {
    const [first] = checked.violations;
    return new StatusError({
      code: "INVALID_ARGUMENT",
      reason: first?.reason ?? "SPEC_VALUE_INVALID",
      message: `${first?.field ?? "model_spec"}: ${first?.description ?? "is invalid"}`,
      violations: checked.violations,
    });
  }
  return { engine, spec: checked.values, fit: engine.fit(weights, hardware, switches, checked.values) };
}

function checkKind(offer: Offer, { wanted }: Workload): StatusError | undefined {
  const cpuOffer = offer.gpuType === "UNSPECIFIED";
  if (wanted.gpuCount === 0) {
    if (cpuOffer) return undefined;
    const message = `${at(offer)} runs no replicas on CPUs. Ask for ${kindOf(offer)} with a count.`;
    return problem("GPU_TYPE_UNAVAILABLE", message, "gpu_count");
  }
  if (!cpuOffer && (wanted.gpuType === "UNSPECIFIED" || wanted.gpuType === offer.gpuType)) return undefined;
  const asked = wanted.gpuType === "UNSPECIFIED" ? "GPUs" : `GPUs of type ${wanted.gpuType}`;
  const message = `${at(offer)} has ${kindOf(offer)}, no ${asked}. Ask for what it has, or for another place.`;
  return problem("GPU_TYPE_UNAVAILABLE", message, "gpu_type");
}

function checkSpot(offer: Offer, { wanted }: Workload): StatusError | undefined {
  if (!offer.spot || wanted.spot) return undefined;
  const message = `${at(offer)} may take these machines back at any moment. Set spot where that will do, or ask for another place.`;
  return problem("PLACE_UNAVAILABLE", message, "spot");
}

function checkReach(offer: Offer): StatusError | undefined {
  if (REACHED.includes(offer.reach)) return undefined;
  const message = `Replicas at ${at(offer)} can be reached only from inside its cluster, where no gateway runs probes yet. Deploy to another place.`;
  return problem("PLACE_UNAVAILABLE", message, "infra");
}

function checkNode(offer: Offer, { wanted }: Workload): StatusError | undefined {
  if (wanted.nodeId === "" || offer.nodeIds.includes(wanted.nodeId)) return undefined;
  const known =
    offer.nodeIds.length === 0 ? "It names none." : `It has ${offer.nodeIds.slice(0, 20).join(", ")}.`;
  const message = `${at(offer)} has no node ${wanted.nodeId}. ${known} Leave node_id out for any.`;
  return problem("NODE_NOT_FOUND", message, "node_id");
}

function checkCount(offer: Offer, { wanted }: Workload): StatusError | undefined {
  const { gpuCount: asked } = wanted;
  const { gpuCounts: sold, gpuCountMax: max } = offer;
  if (asked > max) {
    const way =
      max > 0 ? ` Ask for ${max} or fewer, or for another place.` : " Wait, or ask for another place.";
    const message = `${at(offer)} has at most ${max} ${kindOf(offer)} for one replica; ${asked} were asked for.${way}`;
    return problem("CAPACITY_SHORT", message, "gpu_count", { asked: String(asked), max: String(max) });
  }
  if (asked === 0 || !sold || sold.includes(asked)) return undefined;
  const near = nearCounts(sold, asked);
  const message = `${at(offer)} sells ${kindOf(offer)} by ${sold.join(", ")}, not by ${asked}. Ask for ${near.join(" or ")}.`;
  const metadata = { asked: String(asked), sold: sold.join(","), near: near.join(",") };
  return problem("GPU_COUNT_INVALID", message, "gpu_count", metadata);
}

/** The counts next to the asked one, below and above. */
function nearCounts(sold: readonly number[], asked: number): readonly number[] {
  const below = Math.max(...sold.filter((count) => count < asked));
  const above = Math.min(...sold.filter((count) => count > asked));
  return [below, above].filter(Number.isFinite);
}

function checkQuota(offer: Offer, { wanted }: Workload): StatusError | undefined {
  const { gpuQuota: quota } = offer;
  if (!quota || wanted.gpuCount === 0 || quota.used + wanted.gpuCount <= quota.max) return undefined;
  const message = `The account may have ${quota.max} ${kindOf(offer)} at ${at(offer)} and has ${quota.used}; ${wanted.gpuCount} more were asked for. Ask for fewer, or ask the operator to have the quota raised.`;
  const metadata = { asked: String(wanted.gpuCount), max: String(quota.max), used: String(quota.used) };
  return problem("CAPACITY_SHORT", message, "gpu_count", metadata);
}

function unsupported(offer: Offer, weights: WeightsFacts, absent: Engine | undefined): StatusError {
  const what = `${weights.architecture === "" ? "these" : weights.architecture} weights in ${weights.format}`;
  const way = absent ? ` ${absent.name} could, and is not installed there.` : "";
  const message = `No engine at ${at(offer)} can serve ${what} on ${kindOf(offer)}.${way}`;
  return problem("WEIGHTS_UNSUPPORTED", message, "model_path");
}

/** The memory plan as an error. */
export function tooLarge(where: string, fit: Fit): StatusError {
  const needed = fit.lines.reduce((sum, line) => sum + line.bytes, 0);
  const lines = fit.lines.map((line) => `${line.item}: ${gib(line.bytes)}`).join("; ");
  const way =
    fit.contextMaxTokens > 0
      ? `The largest context that fits is ${fit.contextMaxTokens} tokens.`
      : "Not even the shortest context fits.";
  const whose = fit.of === "gpu" ? "on each GPU" : "for a replica";
  const message = `The model needs ${gib(needed)} and ${where} has ${gib(fit.availableBytes)} ${whose} (${lines}). ${way}`;
  const metadata = {
    needed: String(needed),
    available: String(fit.availableBytes),
    contextMaxTokens: String(fit.contextMaxTokens),
  };
  return problem("MODEL_TOO_LARGE", message, "model_spec", metadata);
}

function noPrice(offer: Offer): StatusError {
  const message = `No price is set for ${kindOf(offer)} at ${at(offer)}. Ask an administrator to set one.`;
  return problem("PRICE_MISSING", message, "infra");
}

function problem(
  reason: Reason,
  message: string,
  field: string,
  metadata: Readonly<Record<string, string>> = {},
): StatusError {
  const violations = [{ field, description: message, reason }];
  return new StatusError({ code: "FAILED_PRECONDITION", reason, message, metadata, violations });
}

function at(offer: Offer): string {
  return `${offer.provider}/${offer.region}`;
}

function kindOf(offer: Offer): string {
  return offer.gpuType === "UNSPECIFIED" ? "CPUs" : `${offer.gpuType} GPUs`;
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
