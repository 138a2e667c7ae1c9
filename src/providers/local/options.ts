import type { BaseCtx } from "../../base/ctx.ts";
import type { Steps } from "../../base/steps.ts";
import type { WeightsFacts } from "../../engines/engine.ts";
import type { EngineProgram } from "./program.ts";

/** Where engines of this machine listen. */
export const ENGINE_HOST = "127.0.0.1";

export interface LocalDriverOptions {
  /** State lives in `<home>/replicas` and `<home>/replica-logs`. */
  readonly home: string;
  readonly weights: WeightsStore;
  /** The node binary that runs engines. */
  readonly node: string;
  /** The engine's program: src/llama-server/main.ts. */
  readonly engineMain: string;
  /** Names that this machine answers to as a region. */
  readonly regions: readonly string[];
  /** Whom engines run as when this process is root; 0 keeps root. Without root they run as this user. */
  readonly uid: number;
  readonly gid: number;
  /** Most memory that one replica may plan for; what the machine has bounds it further. */
  readonly cpuMemoryBytes: number;
  /** Engines that may start at once: loading weights takes a core and the disk. Default: half the cores. */
  readonly startsMax?: number;
  /** An engine that nobody asked for its health for so long ends by itself. Default 2 minutes. */
  readonly unclaimedExitMs?: number;
  /** Engines that are programs of their own, by name. */
  readonly programs?: Readonly<Record<string, EngineProgram>>;
  /** NVIDIA's tool that tells the GPUs; default `nvidia-smi`. Where it is not there, there are none. */
  readonly nvidiaSmi?: string;
  /** Where engines of another user have their files; default /run/slipway-engines. Only root may write there. */
  readonly runRoot?: string;
  readonly steps?: Steps;
}

/** What the driver needs of the weights' domain. */
export interface WeightsStore {
  ensure(
    ctx: BaseCtx,
    input: {
      readonly facts: WeightsFacts;
      readonly hfToken: string;
      readonly holder: string;
      onProgress(doneBytes: number, totalBytes: number): void;
    },
  ): Promise<readonly string[]>;
}
