/** The driver's verbs over the fake cloud and a cluster that is only a table: for promises that need no real cluster. */
import type { TestContext } from "node:test";
import type { BaseCtx } from "../../../src/base/ctx.ts";
import type { Driver, ReplicaObservation, ReplicaSpec } from "../../../src/providers/driver.ts";
import { kubernetesSchema } from "../../../src/providers/kubernetes/config.ts";
import type { KubernetesDriver, Standing } from "../../../src/providers/kubernetes/index.ts";
import { apply } from "../../../src/providers/nebius/apply.ts";
import { list } from "../../../src/providers/nebius/list.ts";
import { observe } from "../../../src/providers/nebius/observe.ts";
import { offers } from "../../../src/providers/nebius/offers.ts";
import { remove } from "../../../src/providers/nebius/remove.ts";
import { nebiusApi } from "../../../src/providers/nebius/rpc.ts";
import { type NebiusState, stateOf } from "../../../src/providers/nebius/state.ts";
import { replicaName } from "../../../src/providers/replica-name.ts";
import { liveCtx } from "../local-driver.ts";
import { FAKE_REGION, type FakeNebius, startFakeNebius } from "./fake.ts";

export interface InTable {
  readonly is: Standing["is"];
  readonly phase: ReplicaObservation["phase"];
  readonly nodesAskedAt?: Date;
}

export interface NebiusParts {
  readonly fake: FakeNebius;
  readonly state: NebiusState;
  readonly cluster: Map<string, InTable>;
  readonly driver: Pick<Driver, "apply" | "observe" | "remove" | "list" | "offers">;
}

export async function nebiusParts(t: TestContext): Promise<NebiusParts> {
  const fake = await startFakeNebius();
  t.after(() => fake.close());
  const cluster: NebiusParts["cluster"] = new Map();
  const kubernetes = kubernetesSchema.parse({
    namespace: "models",
    reach: "direct",
    engines: { vllm: { image: "vllm" } },
    weights: { kind: "emptyDir" },
  });
  const { config } = fake;
  const options = {
    region: FAKE_REGION,
    config,
    kubernetes,
    engines: {},
    drainMaxSeconds: 30,
    hubEndpoint: "",
  };
  const api = nebiusApi(FAKE_REGION, config);
  t.after(() => api.close());
  const state = stateOf(options, api, tableCluster(cluster));
  return {
    fake,
    state,
    cluster,
    driver: {
      apply: (ctx, spec) => apply(ctx, state, spec),
      observe: (ctx, names) => observe(ctx, state, names),
      remove: (ctx, name, how) => remove(ctx, state, name, how),
      list: (ctx, installationId) => list(ctx, state, installationId),
      offers: (ctx) => offers(ctx, state),
    },
  };
}

/** Pauses between tries are not waited for. */
export const hurriedCtx: BaseCtx = { ...liveCtx, clock: { ...liveCtx.clock, sleep: async () => {} } };

/** A replica of one H100 GPU whose engine nobody starts. */
export function gpuSpec(gpuCount = 1): ReplicaSpec {
  const { random } = liveCtx;
  const key = {
    installationId: random.uuid(),
    deploymentId: random.uuid(),
    generation: 1,
    replica: 0,
    attempt: 1,
  };
  const plan = { engine: "vllm", options: {} } as unknown as ReplicaSpec["plan"];
  const weights = {} as ReplicaSpec["weights"];
  const secrets = { engineKey: "engine-key", hfToken: "" };
  const place = { region: FAKE_REGION, nodeId: "", gpuType: "H100", gpuCount } as const;
  return { ...place, key, name: replicaName(key), plan, weights, secrets, servedName: "tiny" };
}

function tableCluster(table: NebiusParts["cluster"]): KubernetesDriver {
  const created = new Date();
  return {
    provider: "NEBIUS",
    name: "table",
    offers: async () => [],
    async apply(_, { name }) {
      if (!table.has(name)) table.set(name, { is: "there", phase: "provisioning" });
    },
    observe: async (_, names) =>
      names.map((name) => ({ name, at: new Date(), phase: table.get(name)?.phase ?? "absent" })),
    async remove(_, name, { graceMs }) {
      if (graceMs === 0) table.delete(name);
      else if (table.has(name)) table.set(name, { is: "going", phase: "up" });
    },
    list: async (_, installationId) =>
      [...table.keys()].map((name) => ({ name, installationId, createdAt: created })),
    async *logs() {},
    check: async () => [],
    standing: async (_, name) => ({ is: "absent", nodesAskedAt: undefined, ...table.get(name) }),
    async nodesAsked(_, name) {
      const row = table.get(name);
      if (row) table.set(name, { ...row, nodesAskedAt: new Date() });
    },
    close: async () => {},
  };
}
