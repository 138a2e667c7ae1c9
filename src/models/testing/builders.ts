/** Models and attempts for tests of the pure rules: running and healthy unless told otherwise. */
import { LIMITS } from "../limits.ts";
import type { Attempt, Model } from "../model.ts";
import type { World } from "../next-action.ts";
import type { Possible } from "../place.ts";

export const T0 = new Date("2030-01-01T00:00:00Z");

/** T0 and so many milliseconds. */
export function at(ms: number): Date {
  return new Date(T0.getTime() + ms);
}

export function aModel(change: Partial<Model> = {}): Model {
  return {
    id: "11111111-1111-4111-8111-111111111111",
    deploymentId: "22222222-2222-4222-8222-222222222222",
    userId: "33333333-3333-4333-8333-333333333333",
    name: "mine",
    servedName: "tiny-cpux0-11111111",
    place: {
      driver: "local",
      provider: "ONPREM",
      region: "local",
      gpuType: "UNSPECIFIED",
      gpuCount: 0,
      nodeId: "",
    },
    desired: "RUNNING",
    desiredReason: "ACCEPTED",
    desiredAt: T0,
    replicas: 1,
    generation: 1,
    startNumber: 1,
    version: 1n,
    status: "PENDING",
    statusSince: T0,
    condition: {
      reason: "ACCEPTED",
      message: "Accepted.",
      since: T0,
      deadline: null,
      nextStep: "A worker takes it next.",
    },
    gaveUp: null,
    waitingSince: T0,
    readyReplicas: 0,
    progress: null,
    claimEpoch: 1n,
    createdAt: T0,
    updatedAt: T0,
    ...change,
  };
}

/** Written down, nothing known yet. */
export function anAttempt(change: Partial<Attempt> = {}): Attempt {
  const slot = change.slot ?? 0;
  const number = change.number ?? 0;
  return {
    name: `sw-00000000-${slot}-${number}`,
    modelId: "11111111-1111-4111-8111-111111111111",
    slot,
    number,
    generation: 1,
    startNumber: 1,
    driver: "local",
    provider: "ONPREM",
    region: "local",
    createdAt: T0,
    engineKeySealed: Buffer.alloc(0),
    applyState: "clear",
    appliedAt: T0,
    strandedUntil: null,
    provisionBy: null,
    seen: false,
    absentSince: null,
    phase: "none",
    phaseSince: T0,
    detail: "",
    progressDone: 0,
    progressTotal: 0,
    address: null,
    readyAt: null,
    routed: false,
    windowEndsAt: null,
    nextHeld: false,
    probeFailures: 0,
    probeFailedSince: null,
    stoppedAt: null,
    graceMs: 0,
    unroutedAt: null,
    removeAskedAt: null,
    failure: null,
    failures: 0,
    closedAt: null,
    ...change,
  };
}

/** Up, answered, routed and paid for until the end of its first window. */
export function aRoutedAttempt(change: Partial<Attempt> = {}): Attempt {
  return anAttempt({
    seen: true,
    phase: "up",
    address: { host: "127.0.0.1", port: 1_000 },
    readyAt: T0,
    routed: true,
    windowEndsAt: at(LIMITS.windowMs),
    ...change,
  });
}

export function aWorld(change: Partial<World> = {}): World {
  return {
    model: aModel(),
    attempts: [],
    now: T0,
    limits: LIMITS,
    idempotent: () => false,
    ...change,
  };
}

/** A place of one H100 at a region of its own that could run the model. */
export function aPossible(region: string, nanosPerHour: bigint): Possible {
  const price = {
    versionId: region,
    currency: "USD",
    nanosPerHour,
    sharePpm: 0n,
    prefillTokensPerSecond: 0n,
  };
  const hardware = {
    gpuType: "H100",
    gpuCount: 1,
    gpuMemoryBytes: 80 * 2 ** 30,
    cpuMemoryBytes: 2 ** 36,
    cpuCount: 8,
  } as const;
  const place = {
    driver: "cloud",
    provider: "LAMBDA",
    region,
    gpuType: "H100",
    gpuCount: 1,
    nodeId: "",
  } as const;
  const kind = { ...hardware, region, reach: "direct", gpuCountMax: 8, nodeIds: [] } as const;
  const offer = { ...kind, driver: place.driver, provider: place.provider, price };
  return { possible: true, offer, place, hardware, price, room: "unknown", serving: undefined };
}
