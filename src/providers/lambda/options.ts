import type { BaseCtx } from "../../base/ctx.ts";
import type { Steps } from "../../base/steps.ts";
import type { Engine, LogEvent } from "../../engines/engine.ts";
import type { LambdaConfig } from "./config.ts";

export interface LambdaDriverOptions {
  readonly config: LambdaConfig;
  /** Tokens of machines are made of it, so every worker of the installation has the same. */
  readonly machineKey: Buffer;
  readonly gate: LaunchGate;
  readonly vllm: {
    readonly engine: Engine;
    /** The failure that a whole log tells. */
    failureOf(lines: readonly string[]): (LogEvent & { kind: "failure" }) | undefined;
  };
  /** Longest wait for running streams when a replica goes. */
  readonly drainMaxSeconds: number;
  readonly hubEndpoint: string;
  readonly steps?: Steps;
  /** Times that tests shorten. */
  readonly times?: Partial<LambdaTimes>;
}

export interface LambdaTimes {
  /** Between two requests of this process. */
  readonly requestPauseMs: number;
  /** Longest wait for an answer of Lambda, where it is less than the client's own bounds. */
  readonly callMaxMs: number;
  /** Between two looks of whoever brings a machine up. */
  readonly pollMs: number;
  /** How long a machine tries to use its GPUs: NVIDIA's fabric manager may need minutes; what failed for longer never came right. */
  readonly gpuCheckMs: number;
  /** A list that is younger is taken for the present. */
  readonly listAgeMs: number;
  /** The same of what Lambda rents out. */
  readonly hardwareAgeMs: number;
}

export const TIMES: LambdaTimes = {
  requestPauseMs: 1_000,
  callMaxMs: 60_000,
  pollMs: 3_000,
  gpuCheckMs: 10 * 60_000,
  listAgeMs: 1_500,
  hardwareAgeMs: 15_000,
};

/**
 * One launcher an account: Lambda keeps no names unique, knows no idempotency key and takes one launch in 12 seconds, so launches of
 * all workers go through here one by one, and what was launched under a name is remembered for a while.
 */
export interface LaunchGate {
  /**
   * Runs `launch` when it is its turn. `known`: under this name there was a launch a moment ago, so that list may not show it yet.
   * Throws RESOURCE_EXHAUSTED, PLACE_UNAVAILABLE when its turn does not come in time; nothing was launched then.
   */
  run(ctx: BaseCtx, name: string, launch: () => Promise<Launched>): Promise<Launched | "known">;
}

/** `refused`: for certain there is no machine of it. What throws is remembered as launched: perhaps there is one. */
export type Launched = "launched" | "found" | { readonly refused: Error };
