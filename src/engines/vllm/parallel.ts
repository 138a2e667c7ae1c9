/** How a replica's GPUs share a model. */
import type { Hardware, SpecValues, WeightsFacts } from "../engine.ts";
import { flagOf, numberOf } from "./spec-values.ts";

export interface Parallel {
  /** GPUs that share each layer. */
  readonly tensor: number;
  /** Groups that have the layers one after another. */
  readonly pipeline: number;
  /** Copies of what is not an expert. */
  readonly data: number;
  readonly experts: boolean;
  readonly nodes: number;
}

/**
 * What modelSpec says, and for the rest: tensor parallel within a node as far as the heads can be dealt out, pipeline parallel
 * over what is left (tensor parallel talks after every layer, pipelines only at their ends, so those cross the network).
 */
export function parallelOf(weights: WeightsFacts, hardware: Hardware, spec: SpecValues): Parallel {
  const nodes = hardware.nodes ?? 1;
  const gpus = Math.max(1, hardware.gpuCount);
  const data = numberOf(spec, "dataParallel") ?? 1;
  const group = Math.max(1, Math.floor(gpus / data));
  const pipelineAsked = numberOf(spec, "pipelineParallel");
  const within = Math.max(1, Math.floor(group / (pipelineAsked ?? nodes)));
  const tensor = numberOf(spec, "tensorParallel") ?? largestTensor(weights, within);
  const pipeline = pipelineAsked ?? Math.max(1, Math.floor(group / tensor));
  const experts = flagOf(spec, "expertParallel") ?? data > 1;
  return { tensor, pipeline, data, experts, nodes };
}

/** The heads of a layer must be dealt out evenly; of fewer KV heads than GPUs, each is copied as often. */
export function canSplitHeads(weights: WeightsFacts, tensor: number): boolean {
  const { heads, headsKv } = weights;
  const latent = weights.model?.attention.some((group) => group.latent) ?? false;
  return heads % tensor === 0 && (latent || headsKv % tensor === 0 || tensor % headsKv === 0);
}

function largestTensor(weights: WeightsFacts, gpus: number): number {
  for (let tensor = gpus; tensor > 1; tensor--) {
    if (gpus % tensor === 0 && canSplitHeads(weights, tensor)) return tensor;
  }
  return 1;
}
