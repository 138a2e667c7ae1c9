/** How drivers start the llama.cpp engine (see llama-server): what it is told on stdin, and what it needs beside the plan. */
import type { ReplicaSpec } from "./driver.ts";

/** JavaScript's own heap; weights and KV cache are native memory. */
export const HEAP_MIB = 512;
/**
 * Added to the plan: Node and the library reserve 0.7 GiB of private address space of which they touch a tenth, and limits of private
 * memory count what is reserved. Mapped weights don't count although the plan holds them: that is spare, too.
 */
export const OVERHEAD_BYTES = 1.25 * 2 ** 30;

export interface LlamaPlace {
  /** Absolute, in the order in which the engine opens them. */
  readonly weightsFiles: readonly string[];
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly storage?: { readonly dir: string; readonly limitBytes: number } | undefined;
  /** After so long without a worker that asks for it the engine ends; 0: never. */
  readonly unclaimedExitMs: number;
  /** The user that it becomes; 0: it stays who it is. */
  readonly uid: number;
  readonly gid: number;
}

/** Holds the engine's key: for stdin or a file that nobody else reads. */
export function llamaConfig(spec: ReplicaSpec, place: LlamaPlace): object {
  return {
    name: spec.name,
    servedNames: [spec.servedName],
    engineKey: spec.secrets.engineKey,
    ...place,
    options: spec.plan.options,
    contextTokens: spec.plan.contextTokens,
    sequencesMax: spec.plan.sequencesMax,
  };
}
