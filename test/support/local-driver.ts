/** The local driver on a home of the test's own, with real engines and the tiny model. */
import { readdir, readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../src/base/clock.ts";
import type { BaseCtx } from "../../src/base/ctx.ts";
import { silentLog } from "../../src/base/log.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { Hardware } from "../../src/engines/engine.ts";
import { llamaCpp } from "../../src/engines/llama-cpp/index.ts";
import type { ReplicaName, ReplicaObservation, ReplicaSpec } from "../../src/providers/driver.ts";
import { type LocalDriver, type LocalDriverOptions, localDriver } from "../../src/providers/local/index.ts";
import { replicaName } from "../../src/providers/replica-name.ts";
import type { Weights } from "../../src/weights/index.ts";

export const ENGINE_MAIN = fileURLToPath(new URL("../../src/llama-server/main.ts", import.meta.url));
/** Never the id of a user that owns anything, as the configuration's default. */
export const ENGINE_UID = 65_533;

export const liveCtx: BaseCtx = { clock: systemClock, random: systemRandom, log: silentLog };

export function newDriver(
  home: string,
  weights: Weights,
  options: Partial<LocalDriverOptions> = {},
): LocalDriver {
  return localDriver({
    home,
    weights,
    node: process.execPath,
    engineMain: ENGINE_MAIN,
    regions: ["local"],
    uid: ENGINE_UID,
    gid: ENGINE_UID,
    cpuMemoryBytes: 4 * 2 ** 30,
    startsMax: 4,
    ...options,
  });
}

const HARDWARE: Hardware = {
  gpuType: "UNSPECIFIED",
  gpuCount: 0,
  gpuMemoryBytes: 0,
  cpuMemoryBytes: 4 * 2 ** 30,
  cpuCount: 1,
};

export interface SpecOptions {
  readonly source?: string;
  readonly hfToken?: string;
  readonly installationId?: string;
  readonly contextTokens?: number;
}

/** A replica of its own deployment, of the tiny model unless another source is named. */
export async function newSpec(weights: Weights, options: SpecOptions = {}): Promise<ReplicaSpec> {
  const hfToken = options.hfToken ?? "";
  const facts = await weights.resolve(liveCtx, {
    source: options.source ?? "builtin://tiny?seed=1",
    hfToken,
  });
  const key = {
    installationId: options.installationId ?? systemRandom.uuid(),
    deploymentId: systemRandom.uuid(),
    generation: 1,
    replica: 0,
    attempt: 1,
  };
  const spec = { contextTokens: options.contextTokens ?? 512, sequencesMax: 2, threads: 1 };
  return {
    key,
    name: replicaName(key),
    region: "local",
    nodeId: "",
    gpuType: "UNSPECIFIED",
    gpuCount: 0,
    weights: facts,
    plan: llamaCpp.plan(facts, HARDWARE, { kvCacheEnabled: true, cpuOffloadingEnabled: false }, spec),
    servedName: "tiny",
    secrets: { engineKey: `engine-key-${systemRandom.bytes(12).toString("hex")}`, hfToken },
  };
}

/** Engines take a second or two to start; on a busy machine more. */
const PHASE_WAIT_MS = 60_000;

/** Looks until the replica is in one of the phases; fails with the last observation when it never is. */
export async function untilPhase(
  driver: Pick<LocalDriver, "observe">,
  name: ReplicaName,
  phases: readonly ReplicaObservation["phase"][],
): Promise<ReplicaObservation> {
  const giveUpAt = performance.now() + PHASE_WAIT_MS;
  for (;;) {
    const [seen] = await driver.observe(liveCtx, [name]);
    if (seen && phases.includes(seen.phase)) return seen;
    if (seen?.phase === "gone") throw new Error(`${name} is gone: ${seen.failure?.message}`);
    if (performance.now() > giveUpAt) {
      throw new Error(`${name} never was ${phases.join(" or ")}: ${JSON.stringify(seen)}`);
    }
    await systemClock.sleep(50);
  }
}

/** The running engine processes (or stand-ins) of a replica, found in the system's own list: their arguments name it. */
export async function enginesOf(name: ReplicaName): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry));
  const found: number[] = [];
  for (const pid of pids) {
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    const args = command.split("\0");
    // The shell that becomes the engine has the same arguments behind its script.
    if (args.includes(name) && !args.includes("-c")) found.push(Number(pid));
  }
  return found;
}

/** Ends whatever a test left running and takes its home away. */
export async function cleanHome(home: string): Promise<void> {
  const names = await readdir(`${home}/replicas`).catch(() => []);
  for (const name of names) {
    for (const pid of await enginesOf(name)) process.kill(pid, "SIGKILL");
  }
  await rm(home, { recursive: true, force: true, maxRetries: 3 });
}
