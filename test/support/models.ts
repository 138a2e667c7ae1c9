/** Models on a real database with a simulated provider that does as it is told, and time that tests move. */
import { silentLog } from "../../src/base/log.ts";
import { secretBox } from "../../src/base/seal.ts";
import { noSteps } from "../../src/base/steps.ts";
import * as billing from "../../src/billing/index.ts";
import type { DbCtx } from "../../src/db/db.ts";
import { createUser, type Principal } from "../../src/identity/index.ts";
import {
  createModelChanges,
  type DeployInput,
  deployModel,
  getModel,
  installationId,
  LIMITS,
  type ModelStatus,
  type ModelsDeps,
  type ModelView,
  reconcileDue,
} from "../../src/models/index.ts";
import { chanceOf, seededRandom, type VirtualClock, virtualClock } from "../sim/chance.ts";
import { type SimProvider, simProvider } from "../sim/provider.ts";
import { simEngine, simProbe, WEIGHTS } from "../sim/world.ts";
import type { Cleanup } from "./cleanup.ts";
import { testDatabase } from "./postgres.ts";

export const NANOS_PER_HOUR = 3_600_000_000n;

export interface ModelFixture {
  readonly ctx: DbCtx;
  readonly deps: ModelsDeps;
  readonly clock: VirtualClock;
  readonly local: SimProvider;
  readonly owner: Principal;
  readonly other: Principal;
  readonly admin: Principal;
  deploy(change?: Partial<DeployInput>): Promise<ModelView>;
  view(modelId: string): Promise<ModelView>;
  /** One pass of a worker over everything that is due. */
  pass(deps?: ModelsDeps): Promise<void>;
  /** Lets time pass, with passes, until the model has the status. */
  until(modelId: string, status: ModelStatus): Promise<ModelView>;
  /** Lets so much time pass, with passes as they fall due. */
  live(ms: number): Promise<void>;
  heldNanos(): Promise<bigint>;
}

/** Virtual time within which everything here reaches any state. */
const PATIENCE_MS = 90 * 60_000;
const STEP_MS = 500;

export async function modelFixture(
  t: Cleanup,
  options: { readonly deps?: Partial<ModelsDeps>; readonly creditNanos?: bigint } = {},
): Promise<ModelFixture> {
  const { db } = await testDatabase(t);
  const clock = virtualClock(new Date("2030-01-01T00:00:00Z"));
  const ctx: DbCtx = { db, clock, random: seededRandom(1), log: silentLog };
  const chance = chanceOf(1);
  const faults = { on: false };
  const local = simProvider({
    name: "local",
    provider: "ONPREM",
    region: "local",
    clock,
    chance,
    faults,
    idempotent: true,
    meanwhile: async () => {},
    during: async () => {},
    onRemove: async () => {},
  });
  await billing.configureBilling(ctx, { currency: "USD", payments: "off" });
  const price = { region: "", gpuType: "UNSPECIFIED", currency: "USD", validFrom: null } as const;
  await billing.setGpuPrice(ctx, { ...price, provider: "ONPREM", nanosPerHour: NANOS_PER_HOUR });
  const [owner, other, admin] = await Promise.all([
    principal(ctx, "USER"),
    principal(ctx, "USER"),
    principal(ctx, "ADMIN"),
  ]);
  const amount = { currency: "USD", nanos: options.creditNanos ?? 100n * NANOS_PER_HOUR };
  await billing.grantCredit(ctx, {
    operatorId: admin.userId,
    userId: owner.userId,
    amount,
    reason: "t",
    key: "t",
  });
  const deps: ModelsDeps = {
    drivers: [local],
    engines: [simEngine],
    weights: { resolve: async (_ctx, { source }) => ({ ...WEIGHTS, source }) },
    box: secretBox("a secret that tests share, long enough to be one"),
    installationId: await installationId(ctx),
    gatewayUrl: () => "http://127.0.0.1:8081",
    limits: LIMITS,
    steps: noSteps,
    probe: simProbe([local], chance, faults),
    billing,
    changes: createModelChanges(),
    news: { moved: async () => {} },
    ...options.deps,
  };
  const pass = async (as = deps) => void (await reconcileDue(ctx, as, { now: clock.now(), limit: 100 }));
  const view = (modelId: string) => getModel(ctx, deps, { principal: owner, modelId });
  return {
    ctx,
    deps,
    clock,
    local,
    owner,
    other,
    admin,
    deploy: (change) => deployModel(ctx, deps, { ...deployInput(owner.userId), ...change }),
    view,
    pass,
    async until(modelId, status) {
      const end = clock.monotonicMs() + PATIENCE_MS;
      for (;;) {
        const seen = await view(modelId);
        if (seen.model.status === status) return seen;
        if (clock.monotonicMs() > end) {
          throw new Error(`it stays ${seen.model.status}: ${seen.model.condition.message}`);
        }
        clock.advance(STEP_MS);
        await pass();
      }
    },
    async live(ms) {
      const end = clock.monotonicMs() + ms;
      while (clock.monotonicMs() < end) {
        clock.advance(Math.min(STEP_MS, end - clock.monotonicMs()));
        await pass();
      }
    },
    heldNanos: async () => (await billing.balanceOf(ctx, owner.userId)).heldNanos,
  };
}

export function deployInput(ownerId: string): DeployInput {
  return {
    ownerId,
    modelName: "mine",
    description: "",
    modelPath: "org/tiny",
    provider: undefined,
    regions: {},
    gpuType: "UNSPECIFIED",
    gpuCount: 0,
    modelSpec: undefined,
    apiKey: "",
    hfToken: "",
    kvCacheEnabled: true,
    cpuOffloadingEnabled: false,
    nodeId: "",
    replicas: 0,
  };
}

async function principal(ctx: DbCtx, role: Principal["role"]): Promise<Principal> {
  const user = await createUser(ctx, { role, displayName: role });
  return { userId: user.id, role, tokenId: "t", scopes: [] };
}
