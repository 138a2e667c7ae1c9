/** The settings of a vLLM plan, as they are stored between planning and starting. */
import { z } from "zod";
import { StatusError } from "../../base/status.ts";
import type { EnginePlan } from "../engine.ts";

const count = z.number().int().min(0);

const schema = z.object({
  device: z.enum(["cuda", "cpu"]),
  tensorParallel: count,
  pipelineParallel: count,
  dataParallel: count,
  expertParallel: z.boolean(),
  nodes: count,
  dtype: z.string(),
  /** "" = as config.json says. */
  quantization: z.string(),
  kvCacheDtype: z.string(),
  gpuMemoryUtilization: z.number(),
  batchedTokens: count,
  /** `kvCacheEnabled`: evaluated prompts are kept for requests that begin the same. */
  prefixCache: z.boolean(),
  /** `cpuOffloadingEnabled`: who keeps them in main memory; "" = nobody. */
  offload: z.enum(["", "lmcache", "native"]),
  /** Of the whole replica. */
  offloadGiB: count,
  /** The cache of a CPU replica; 0 on GPUs. */
  cpuKvGiB: count,
  cpuThreads: count,
  /** `name=folder` each. */
  loraModules: z.array(z.string()),
  loraRankMax: count,
  /** "" = none; so too for the other parser and the template. */
  toolParser: z.string(),
  reasoningParser: z.string(),
  toolTemplate: z.string(),
  /** "" = as the chat template has it. */
  thinking: z.enum(["", "on", "off"]),
  enforceEager: z.boolean(),
  kvEvents: z.boolean(),
  /** On disk: how long loading may take follows from it. */
  weightsBytes: count,
});

export type VllmOptions = z.infer<typeof schema>;

/** Throws INTERNAL for a plan that is none of this engine's. */
export function optionsOf(plan: EnginePlan): VllmOptions {
  const parsed = schema.safeParse(plan.options);
  if (parsed.success) return parsed.data;
  throw StatusError.from(new Error(`a plan of ${plan.engine} is none of vllm: ${parsed.error.message}`));
}
