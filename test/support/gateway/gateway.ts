/** A gateway for tests: real sockets, a real usage log, a world in memory. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { type Log, silentLog } from "../../../src/base/log.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { secretBox } from "../../../src/base/seal.ts";
import { noSteps } from "../../../src/base/steps.ts";
import {
  createGateway,
  GATEWAY_LIMITS,
  type Gateway,
  type GatewayDeps,
  type GatewayLimits,
  type GatewayUsage,
} from "../../../src/gateway/index.ts";
import { type Cleanup, undoAfter } from "../cleanup.ts";
import { type FaultReplica, faultReplica } from "./fault-replica.ts";
import { ManualClock } from "./manual-clock.ts";
import {
  ALICE,
  ALICE_KEY,
  BOB,
  BOB_KEY,
  keyOf,
  MemoryControl,
  MODEL,
  MODEL_KEY,
  routeOf,
} from "./memory-control.ts";

export interface TestGateway {
  readonly gateway: Gateway;
  readonly control: MemoryControl;
  readonly port: number;
  readonly url: string;
  readonly usageLogDir: string;
  /** The records that were shipped, once there are so many. */
  shipped(count: number): Promise<readonly GatewayUsage[]>;
}

export interface GatewayOptions {
  readonly control: MemoryControl;
  readonly limits?: Partial<GatewayLimits>;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly usageLogDir?: string;
  readonly pace?: GatewayDeps["pace"];
  readonly trustedProxies?: readonly string[];
}

export async function testGateway(t: Cleanup, options: GatewayOptions): Promise<TestGateway> {
  const usageLogDir = options.usageLogDir ?? (await temporaryFolder(t));
  const gateway = createGateway({
    clock: options.clock ?? systemClock,
    random: systemRandom,
    log: options.log ?? silentLog,
    steps: noSteps,
    gatewayId: "gateway-1",
    box: secretBox("a secret of at least thirty-two characters"),
    usageLogDir,
    limits: { ...GATEWAY_LIMITS, shipEveryMs: 20, ...options.limits },
    control: options.control,
    version: "1.2.3",
    ...(options.pace ? { pace: options.pace } : {}),
    ...(options.trustedProxies ? { trustedProxies: options.trustedProxies } : {}),
  });
  const { port } = await gateway.listen(0, "127.0.0.1");
  undoAfter(t, () => closeWith(gateway, options.clock));
  return {
    gateway,
    control: options.control,
    port,
    url: `http://127.0.0.1:${port}`,
    usageLogDir,
    shipped: async (count) => {
      await until(() => options.control.shipped.length >= count);
      return options.control.shipped;
    },
  };
}

/** Where time stands still, closing has to be helped along. */
async function closeWith(gateway: Gateway, clock: Clock | undefined): Promise<void> {
  let closed = false;
  const closing = gateway.close({ drainMs: 0 }).finally(() => {
    closed = true;
  });
  while (clock instanceof ManualClock && !closed) await clock.advance(100);
  await closing;
}

/** Alice's model on one replica, her key and Bob's. */
export async function oneModel(
  t: Cleanup,
  options: Omit<GatewayOptions, "control"> = {},
): Promise<TestGateway & { readonly replica: FaultReplica }> {
  const control = new MemoryControl();
  const replica = await faultReplica(t);
  control.routes = [routeOf([replica.route])];
  control.addKey(ALICE_KEY, keyOf(ALICE));
  control.addKey(BOB_KEY, keyOf(BOB));
  return { ...(await testGateway(t, { control, ...options })), replica };
}

export async function temporaryFolder(t: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "slipway-gateway-"));
  undoAfter(t, () => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Waits for something that will happen; the runner's own timeout ends a wait in vain. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

export const BELOW = `/m/${MODEL}`;
export const SERVED_NAME = routeOf([]).servedName;

/** Asks for a chat completion on Alice's model with its own key. */
export function chat(
  on: TestGateway,
  more: object = {},
  init: { key?: string; path?: string; headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Response> {
  return fetch(`${on.url}${init.path ?? `${BELOW}/v1/chat/completions`}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${init.key ?? MODEL_KEY}`,
      ...init.headers,
    },
    body: JSON.stringify({ model: SERVED_NAME, messages: [{ role: "user", content: "hello" }], ...more }),
    ...(init.signal ? { signal: init.signal } : {}),
  });
}
