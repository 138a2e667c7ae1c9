/**
 * The gateway as the benchmark runs it: its own process, everything on that is on in production (keys, limits, prefix-aware
 * choice, metering, the synced usage log), and a ledger in memory that sums what it is told.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { systemClock } from "../../src/base/clock.ts";
import { createLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import { secretBox } from "../../src/base/seal.ts";
import { noSteps } from "../../src/base/steps.ts";
import {
  createGateway,
  GATEWAY_LIMITS,
  type GatewayControl,
  type GatewayRoute,
  type GatewayUsage,
  type PublishedOffer,
} from "../../src/gateway/index.ts";
import { createRateLimit } from "../../src/rate-limit/rate-limit.ts";
import { SHARED_PREFIX } from "./scenarios.ts";

const OWNER = "6f1b2c9e-0c56-4d0e-9a3f-1f0a51f3b001";
const CALLER = OWNER;
/** Limits are counted on every request, and are set where this machine can't reach them. */
const UNREACHED = 1_000_000;
const UNREACHED_RATE = { requestsMax: 100 * UNREACHED, windowMs: 60_000 };
/** Money for the priced rows: more than a run can spend. */
const SLICE_NANOS = 10n ** 15n;

const settings = z
  .object({ key: z.string(), enginePorts: z.array(z.number()), usageLogDir: z.string() })
  .parse(JSON.parse(process.argv[2] ?? "{}"));

const sha256 = (text: string) => createHash("sha256").update(text).digest();

/** Each name that is asked for is a model on the same replicas; the engine reads its behaviour from the name. */
function routeOf(name: string): GatewayRoute {
  const shared = name.startsWith(SHARED_PREFIX);
  const served = shared ? name.slice(SHARED_PREFIX.length) : name;
  return {
    modelId: `model-${served}`,
    servedName: served,
    modelName: served,
    ownerId: OWNER,
    ownerDisabled: false,
    keyHash: sha256(`key of ${served}`),
    status: "RUNNING",
    reason: "NONE",
    message: "",
    retryAfterMs: 0,
    contextTokens: 32_768,
    replicas: settings.enginePorts.map((port, i) => ({
      replicaId: `${served}-${i}`,
      host: "127.0.0.1",
      port,
      engineKey: "engine-key",
    })),
    ...(shared ? { published: offerOf(name, `model-${served}`) } : {}),
  };
}

function offerOf(servedName: string, modelId: string): PublishedOffer {
  return {
    servedName,
    modelId,
    price: {
      versionId: "price-1",
      inputNanosPerMillion: 150_000_000n,
      cachedNanosPerMillion: 0n,
      outputNanosPerMillion: 600_000_000n,
    },
    limits: { concurrencyMax: UNREACHED, outputTokensMax: 0 },
  };
}

const totals = {
  exact: { records: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0 },
  estimated: { records: 0, promptTokens: 0, completionTokens: 0 },
};

function count(record: GatewayUsage): void {
  const kind = record.estimated ? totals.estimated : totals.exact;
  kind.records++;
  kind.promptTokens += record.promptTokens;
  kind.completionTokens += record.completionTokens;
  if (!record.estimated) totals.exact.cachedTokens += record.cachedTokens;
}

let slices = 0;

const control: GatewayControl = {
  routesByModelId: async () => [],
  routesByServedName: async (names) => names.map(routeOf),
  routesOfOwner: async () => [],
  published: async () => [],
  keyByHash: async (hash) =>
    hash.equals(sha256(settings.key))
      ? { keyId: "key-1", userId: CALLER, scopes: [], expiresAt: null, disabled: false }
      : undefined,
  leaseSlice: async () => ({ sliceId: `slice-${++slices}`, amountNanos: SLICE_NANOS, spendMs: 3_600_000 }),
  closeSlice: async () => {},
  shipUsage: async (records) => records.forEach(count),
  onChange: () => () => {},
};

const gateway = createGateway({
  clock: systemClock,
  random: systemRandom,
  log: createLog({ level: "warn", name: "gateway" }),
  steps: noSteps,
  gatewayId: "bench",
  box: secretBox("a benchmark has no secret to keep"),
  usageLogDir: settings.usageLogDir,
  limits: {
    ...GATEWAY_LIMITS,
    keyConcurrencyMax: UNREACHED,
    sharedConcurrencyMax: UNREACHED,
  },
  control,
  version: "bench",
  // Counted as in the product, and never reached.
  pace: createRateLimit(systemClock, { key: UNREACHED_RATE, address: UNREACHED_RATE }).take,
});

const { port } = await gateway.listen(0, "127.0.0.1");
process.on("message", () => process.send?.({ ...totals, ...gateway.counts() }));
process.once("SIGTERM", () => {
  void gateway.close({ drainMs: 1_000 }).then(() => process.exit(0));
});
process.stdout.write(`${JSON.stringify({ port })}\n`);
