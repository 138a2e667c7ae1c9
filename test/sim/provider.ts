/**
 * A provider that misbehaves: loses answers, creates late, shows its list late, refuses, is slow, kills machines. It keeps the
 * truth about every machine, which the invariants are checked against.
 */
import { type Code, type Reason, StatusError } from "../../src/base/status.ts";
import { LIMITS } from "../../src/models/index.ts";
import type { Driver, ProviderMachine, ReplicaObservation, ReplicaSpec } from "../../src/providers/driver.ts";
import type { Chance, VirtualClock } from "./chance.ts";

export interface Machine {
  readonly name: string;
  readonly spec: ReplicaSpec;
  readonly bornMs: number;
  readonly visibleMs: number;
  readonly loadingMs: number;
  upMs: number;
  /** When its engine ends by itself; null for never. */
  diesMs: number | null;
  /** When it is taken away; null while nobody asked. */
  goneMs: number | null;
}

export interface Faults {
  /** Whether anything goes wrong at all. */
  on: boolean;
}

/** Longest time for which a provider has no room, once it has none. */
const FULL_MAX_MS = 600_000;

export interface SimProvider extends Driver {
  /** Every machine there ever was. */
  readonly machines: readonly Machine[];
  /** Those that exist now. */
  alive(): readonly Machine[];
  /** The machine whose engine answers now. */
  answering(name: string): Machine | undefined;
  /** What was asked about a name and what became of it, a line each: for who looks into a breach. */
  story(name: string): readonly string[];
  /** A machine of ours that no row knows, as a late create leaves one. */
  abandon(spec: ReplicaSpec): void;
}

export interface ProviderOptions {
  readonly name: string;
  readonly provider: Driver["provider"];
  readonly region: string;
  readonly clock: VirtualClock;
  readonly chance: Chance;
  readonly faults: Faults;
  /** Names are unique there, so that a create can be repeated. */
  readonly idempotent: boolean;
  /** Called in the middle of a create that stands still: the rest of the world goes on meanwhile. */
  meanwhile(): Promise<void>;
  /** Called in the middle of any call: owners may wish something else just now. */
  during(): Promise<void>;
  /** Called before a machine is taken away. */
  onRemove(name: string): Promise<void>;
}

/** Longest time from an unclear answer until its machine may still appear; below the wait that the reconciler keeps. */
const LATE_MAX_MS = 80_000;
/**
 * Longest time from a worker's last look at its lease to the moment at which its request leaves: what a lost worker's claim and
 * another one cover (see strand). One that stands still for longer may create a second machine, which the sweep finds.
 */
const STANDSTILL_MAX_MS = LIMITS.leaseMs + LIMITS.leaseMarginMs;
/** Longest time until a machine shows in the provider's answers. */
const LAG_MAX_MS = 20_000;

export function simProvider(options: ProviderOptions): SimProvider {
  const { clock, chance, faults } = options;
  const machines: Machine[] = [];
  const stories = new Map<string, string[]>();
  const nowMs = () => clock.now().getTime();
  const note = (name: string, what: string) => {
    const lines = stories.get(name) ?? [];
    stories.set(name, lines);
    lines.push(`${clock.now().toISOString()} ${what}`);
  };
  const goes = (about: string, probability: number) =>
    faults.on && chance.happens(`${options.name}/${about}`, probability);
  const exists = (machine: Machine) =>
    machine.bornMs <= nowMs() && (machine.goneMs ?? Number.POSITIVE_INFINITY) > nowMs();
  const shown = (machine: Machine) => exists(machine) && machine.visibleMs <= nowMs();
  const dead = (machine: Machine) => (machine.diesMs ?? Number.POSITIVE_INFINITY) <= nowMs();

  /** A spell without room: every create is refused until it ends. */
  let fullUntilMs = 0;
  const isFull = () => {
    if (goes("full", 0.05)) fullUntilMs = nowMs() + chance.between(`${options.name}/full-ms`, 0, FULL_MAX_MS);
    return faults.on && nowMs() < fullUntilMs;
  };

  const create = (spec: ReplicaSpec, delayMs: number) => {
    const about = `${options.name}/${spec.name}`;
    const bornMs = nowMs() + delayMs;
    const lag = options.idempotent || !faults.on ? 0 : chance.between(`${about}/lag`, 0, LAG_MAX_MS);
    const loadingMs = bornMs + chance.between(`${about}/provisioning`, 100, 40_000);
    const upMs = loadingMs + chance.between(`${about}/loading`, 100, 60_000);
    const dies = goes(`${spec.name}/dies`, 0.25);
    const diesMs = dies ? bornMs + chance.between(`${about}/death`, 1_000, 1_200_000) : null;
    note(spec.name, `created; born ${new Date(bornMs).toISOString()}, shown ${lag} ms later`);
    machines.push({
      name: spec.name,
      spec,
      bornMs,
      visibleMs: bornMs + lag,
      loadingMs,
      upMs,
      diesMs,
      goneMs: null,
    });
  };

  const apply = async (spec: ReplicaSpec): Promise<void> => {
    const about = `apply/${spec.name}`;
    const askedMs = nowMs();
    note(spec.name, "apply is asked");
    await options.during();
    if (goes(`${about}/pause`, 0.05)) await options.meanwhile();
    if (goes(`${about}/slow`, 0.05)) clock.advance(chance.between(`${about}/slow-ms`, 1_000, 20_000));
    if (nowMs() - askedMs > STANDSTILL_MAX_MS) throw failure("DEADLINE_EXCEEDED", "DEADLINE");
    const known = machines.some(
      (machine) => machine.name === spec.name && (options.idempotent ? exists(machine) : shown(machine)),
    );
    if (known) {
      if (goes(`${about}/lost-again`, 0.05)) throw failure("UNAVAILABLE", "UNAVAILABLE");
      return;
    }
    if (isFull() || goes(`${about}/refused`, 0.05)) throw failure("RESOURCE_EXHAUSTED", "CAPACITY_SHORT");
    if (goes(`${about}/rate`, 0.03)) throw failure("RESOURCE_EXHAUSTED", "RATE_LIMITED");
    // Accepted, and then nothing: no machine ever comes of it.
    if (goes(`${about}/nothing`, 0.03)) return note(spec.name, "accepted, and nothing made");
    if (goes(`${about}/unsent`, 0.05)) throw failure("UNAVAILABLE", "UNAVAILABLE");
    if (goes(`${about}/late`, 0.05)) {
      create(spec, options.idempotent ? 0 : chance.between(`${about}/late-ms`, 0, LATE_MAX_MS));
      throw failure("DEADLINE_EXCEEDED", "DEADLINE");
    }
    create(spec, 0);
    if (goes(`${about}/lost`, 0.08)) throw failure("UNAVAILABLE", "UNAVAILABLE");
  };

  const look = (name: string): ReplicaObservation => {
    const at = clock.now();
    const seen = lookAt(name, at);
    note(name, `is seen ${seen.phase}`);
    return seen;
  };

  const lookAt = (name: string, at: Date): ReplicaObservation => {
    if (goes(`observe/${name}`, 0.05)) return { name, at, phase: "unknown" };
    const found = machines.findLast((machine) => machine.name === name && shown(machine));
    if (!found) return { name, at, phase: "absent" };
    if (dead(found)) {
      const reason: Reason = "ENGINE_FAILED";
      return {
        name,
        at,
        phase: "gone",
        failure: { reason, message: "Killed: out of memory", retryable: true },
      };
    }
    if (nowMs() < found.loadingMs) return { name, at, phase: "provisioning", detail: "booting" };
    if (nowMs() < found.upMs) {
      const totalBytes = found.upMs - found.loadingMs;
      const progress = { doneBytes: nowMs() - found.loadingMs, totalBytes };
      return { name, at, phase: "loading", detail: "downloading weights", progress };
    }
    return { name, at, phase: "up", address: { host: name, port: 1 } };
  };

  const remove = async (name: string, graceMs: number): Promise<void> => {
    note(name, "removal is asked");
    await options.onRemove(name);
    await options.during();
    if (goes(`remove/${name}/unsent`, 0.1)) throw failure("UNAVAILABLE", "UNAVAILABLE");
    const takesMs = chance.between(`${options.name}/remove/${name}`, 0, 5_000) + Math.min(graceMs, 10_000);
    for (const machine of machines) {
      if (machine.name === name && exists(machine)) machine.goneMs ??= nowMs() + takesMs;
    }
    if (goes(`remove/${name}/lost`, 0.1)) throw failure("DEADLINE_EXCEEDED", "DEADLINE");
  };

  return {
    provider: options.provider,
    name: options.name,
    ...(options.idempotent ? { createIsIdempotent: true } : {}),
    machines,
    story: (name) => stories.get(name) ?? [],
    alive: () => machines.filter(exists),
    answering: (name) =>
      machines.findLast(
        (one) => one.name === name && exists(one) && !dead(one) && one.upMs <= nowMs() && one.goneMs === null,
      ),
    abandon: (spec) => create(spec, 0),
    offers: async () => [
      {
        region: options.region,
        reach: "direct",
        gpuType: "UNSPECIFIED",
        gpuCountMax: 0,
        gpuMemoryBytes: 0,
        cpuMemoryBytes: 2 ** 34,
        cpuCount: 2,
        nodeIds: [],
      },
    ],
    apply: (_ctx, spec) => apply(spec),
    async observe(_ctx, names) {
      await options.during();
      if (goes("observe-all", 0.03)) throw failure("UNAVAILABLE", "UNAVAILABLE");
      return names.map(look);
    },
    remove: (_ctx, name, { graceMs }) => remove(name, graceMs),
    async list(_ctx, installationId): Promise<readonly ProviderMachine[]> {
      if (goes("list", 0.1)) throw failure("UNAVAILABLE", "UNAVAILABLE");
      return machines
        .filter(shown)
        .map((machine) => ({ name: machine.name, installationId, createdAt: new Date(machine.bornMs) }));
    },
    async *logs() {
      yield "a line";
    },
  };
}

function failure(code: Code, reason: Reason): StatusError {
  return new StatusError({ code, reason, message: "The simulated provider says no." });
}
