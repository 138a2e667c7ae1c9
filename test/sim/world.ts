/** A whole control plane in simulation: several workers, a database, two providers, an owner with money, on a virtual clock. */

import { sql } from "kysely";
import { silentLog } from "../../src/base/log.ts";
import { secretBox } from "../../src/base/seal.ts";
import type { Step, Steps } from "../../src/base/steps.ts";
import * as billing from "../../src/billing/index.ts";
import type { Db, DbCtx } from "../../src/db/db.ts";
import type { Engine, WeightsFacts } from "../../src/engines/engine.ts";
import { createUser, type Principal } from "../../src/identity/index.ts";
import { modelNews } from "../../src/main/news.ts";
import {
  type CompletionProbe,
  createModelChanges,
  installationId,
  LIMITS,
  type ModelsDeps,
  reconcileDue,
  sweep,
} from "../../src/models/index.ts";
import { type Chance, chanceOf, seededRandom, type VirtualClock, virtualClock } from "./chance.ts";
import { type Faults, type SimProvider, simProvider } from "./provider.ts";

/** What a worker that dies at a step throws: nothing may catch it. */
export class Crash extends Error {}

export interface SimWorld {
  readonly ctx: DbCtx;
  readonly clock: VirtualClock;
  readonly chance: Chance;
  readonly faults: Faults;
  readonly providers: readonly SimProvider[];
  /** Of somebody who never crashes: for wishes. */
  readonly deps: ModelsDeps;
  readonly owner: Principal;
  /** How often workers died, by step. */
  readonly crashes: Map<Step, number>;
  /** Breaches that were seen in the middle of something. */
  readonly breaches: string[];
  /** What owners do in the middle of a worker's calls. */
  interrupt: () => Promise<void>;
  /** Models that their owner stopped for now or for good: desired and charged time as they were then. */
  readonly stopped: Map<string, { readonly desired: "PAUSED" | "DELETED"; readonly chargedMs: bigint }>;
  pass(worker: number): Promise<void>;
  sweep(): Promise<void>;
}

export const WORKERS = 3;
const START = new Date("2030-01-01T00:00:00Z");
const CLAIM_MAX = 10;

export async function simWorld(db: Db, seed: number): Promise<SimWorld> {
  const clock = virtualClock(START);
  const chance = chanceOf(seed);
  const faults: Faults = { on: true };
  const ctx: DbCtx = { db, clock, random: seededRandom(seed), log: silentLog };
  const owner = await createUser(ctx, { role: "USER", displayName: "Owner" });
  const breaches: string[] = [];
  const crashes = new Map<Step, number>();
  let pausing = false;
  const common = {
    clock,
    chance,
    faults,
    onRemove: (name: string) => checkRemoval(ctx, name, breaches),
    during: async () => {
      if (faults.on && chance.happens("interrupt", 0.1)) await world.interrupt();
      if (faults.on && chance.happens("standstill", 0.05)) await common.meanwhile();
    },
    async meanwhile() {
      // A worker that is stopped in the middle of a call while its lease ends and others take over.
      if (pausing) return;
      pausing = true;
      clock.advance(LIMITS.leaseMs + 1_000);
      for (let round = 0; round < 3; round++) {
        clock.advance(chance.between("meanwhile", 100, 15_000));
        await world.pass(WORKERS - 1);
      }
      pausing = false;
    },
  };
  const providers = [
    simProvider({ ...common, name: "local", provider: "ONPREM", region: "local", idempotent: true }),
    simProvider({ ...common, name: "cloud", provider: "LAMBDA", region: "us-east-1", idempotent: false }),
  ];
  const base: Omit<ModelsDeps, "steps"> = {
    drivers: providers,
    engines: [simEngine],
    weights: { resolve: async (_ctx, { source }) => ({ ...WEIGHTS, source }) },
    box: secretBox("a secret of the simulation, long enough"),
    installationId: await installationId(ctx),
    gatewayUrl: () => "http://gateway",
    limits: { ...LIMITS, concurrencyMax: 1 },
    probe: simProbe(providers, chance, faults),
    billing,
    changes: createModelChanges(),
    layout: chance.pick("layout", ["pack", "spread"]),
    news: modelNews,
  };
  const deps: ModelsDeps = { ...base, steps: { reach: () => {} } };
  const world: SimWorld = {
    ctx,
    clock,
    chance,
    faults,
    providers,
    deps,
    owner: { userId: owner.id, role: "USER", tokenId: "t", scopes: [] },
    crashes,
    breaches,
    interrupt: async () => {},
    stopped: new Map(),
    async pass(worker) {
      const steps = crashing(chance, faults, worker, crashes);
      try {
        await reconcileDue(ctx, { ...base, steps }, { now: clock.now(), limit: CLAIM_MAX });
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
      }
    },
    async sweep() {
      await sweep(ctx, deps, { now: clock.now() });
    },
  };
  return world;
}

/** Steps at which the process dies now and then; what is dead reaches nothing any more. */
function crashing(chance: Chance, faults: Faults, worker: number, crashes: Map<Step, number>): Steps {
  let dead = false;
  return {
    reach(step) {
      if (dead) throw new Crash(step);
      if (!faults.on || !chance.happens(`crash/${worker}/${step}`, 0.01)) return;
      dead = true;
      crashes.set(step, (crashes.get(step) ?? 0) + 1);
      throw new Crash(step);
    },
  };
}

export function simProbe(providers: readonly SimProvider[], chance: Chance, faults: Faults): CompletionProbe {
  return {
    async probe(_ctx, { address, engineKey }) {
      const name = address.host;
      const machine = providers.map((one) => one.answering(name)).find((found) => found !== undefined);
      if (!machine) return { ok: false, kind: "refused", message: "ECONNREFUSED" };
      if (machine.spec.secrets.engineKey !== engineKey)
        return { ok: false, kind: "rejected", message: "401" };
      if (faults.on && chance.happens(`probe/${name}`, 0.03))
        return { ok: false, kind: "timeout", message: "late" };
      return { ok: true };
    },
  };
}

/** A machine is taken away only after it left routing, and gateways have had time to hear of it. */
async function checkRemoval(ctx: DbCtx, name: string, breaches: string[]): Promise<void> {
  const { rows } = await sql<{ routed: boolean; failed: boolean; unrouted_at: Date | null }>`
    select routed, failure_reason is not null as failed, unrouted_at from model_attempt where name = ${name}`.execute(
    ctx.db,
  );
  const [row] = rows;
  if (!row) return;
  if (row.routed) breaches.push(`${name} was removed while requests were sent to it`);
  const heardAt = (row.unrouted_at?.getTime() ?? 0) + LIMITS.routePropagationMs;
  if (!row.failed && row.unrouted_at && heardAt > ctx.clock.now().getTime()) {
    breaches.push(`${name} was removed before gateways had heard`);
  }
}

export const WEIGHTS: WeightsFacts = {
  source: "",
  revision: "",
  files: [],
  format: "gguf",
  sizeBytes: 1_000_000,
  architecture: "llama",
  layers: 2,
  embedding: 8,
  heads: 2,
  headsKv: 2,
  headSize: 4,
  contextMax: 512,
  vocabulary: 64,
};

export const simEngine: Engine = {
  name: "sim",
  specKeys: [{ name: "contextTokens", type: "int", description: "", min: 1, max: 512, mutable: true }],
  supports: () => true,
  fit: () => ({
    fits: true,
    availableBytes: 2,
    lines: [{ item: "all", bytes: 1 }],
    contextMaxTokens: 512,
    contextTokens: 512,
  }),
  plan: () => ({ engine: "sim", options: {}, contextTokens: 512, sequencesMax: 1, memoryBytes: 1 }),
};
