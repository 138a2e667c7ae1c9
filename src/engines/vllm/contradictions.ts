/** What valid modelSpec values say against the weights, the hardware or the switches. */
import type { FieldViolation } from "../../base/status.ts";
import type { Hardware, SpecValues, Switches, WeightsFacts } from "../engine.ts";
import { canSplitHeads, type Parallel, parallelOf } from "./parallel.ts";
import { LORA_RANKS } from "./spec-keys.ts";
import { flagOf, numberOf, textsOf } from "./spec-values.ts";

const GIB = 2 ** 30;

/** All at once; empty when the plan can be carried out. */
export function contradictions(
  weights: WeightsFacts,
  hardware: Hardware,
  switches: Switches,
  spec: SpecValues,
): readonly FieldViolation[] {
  const found = hardware.gpuCount === 0 ? onCpus(spec) : onGpus(weights, hardware, spec);
  return [...found, ...aboutOffload(hardware, switches, spec), ...aboutAdapters(spec)];
}

/** Keys that mean nothing without GPUs. */
const GPU_KEYS = [
  "tensorParallel",
  "pipelineParallel",
  "dataParallel",
  "expertParallel",
  "gpuMemoryUtilization",
  "quantization",
  "kvCacheDtype",
];

function onCpus(spec: SpecValues): FieldViolation[] {
  return GPU_KEYS.filter((key) => spec[key] !== undefined && spec[key] !== "auto").map((key) =>
    wrong(key, "needs GPUs, and this replica has none. Leave it out, or ask for gpuCount."),
  );
}

function onGpus(weights: WeightsFacts, hardware: Hardware, spec: SpecValues): FieldViolation[] {
  const parallel = parallelOf(weights, hardware, spec);
  const found = [
    splitOfGpus(hardware, parallel),
    splitOfHeads(weights, parallel),
    parallel.pipeline > weights.layers
      ? wrong("pipelineParallel", `is ${parallel.pipeline}, and the model has ${weights.layers} layers.`)
      : undefined,
    ...aboutExperts(weights, parallel),
  ];
  return found.filter((one) => one !== undefined);
}

function splitOfGpus(hardware: Hardware, parallel: Parallel): FieldViolation | undefined {
  const { tensor, pipeline, data, nodes } = parallel;
  const { gpuCount } = hardware;
  if (gpuCount % nodes !== 0) {
    const description = `${gpuCount} GPUs can't be spread evenly over ${nodes} nodes.`;
    return { field: "gpu_count", description, reason: "GPU_COUNT_INVALID" };
  }
  if (tensor * pipeline * data === gpuCount) return undefined;
  const product = `${tensor} × ${pipeline} × ${data} = ${tensor * pipeline * data}`;
  return wrong(
    "tensorParallel",
    `with pipelineParallel and dataParallel makes ${product}, and the replica has ${gpuCount} GPUs. Leave them out to have them chosen.`,
  );
}

function splitOfHeads(weights: WeightsFacts, { tensor }: Parallel): FieldViolation | undefined {
  if (canSplitHeads(weights, tensor)) return undefined;
  const { heads, headsKv } = weights;
  return wrong(
    "tensorParallel",
    `is ${tensor}, which can't deal out ${heads} heads with ${headsKv} KV heads evenly. These can: ${splits(weights).join(", ")}.`,
  );
}

/** Counts that are usual in a node. */
const SPLITS_MAX = 16;

function splits(weights: WeightsFacts): number[] {
  const counts = Array.from({ length: SPLITS_MAX }, (_, index) => index + 1);
  return counts.filter((count) => canSplitHeads(weights, count));
}

function aboutExperts(weights: WeightsFacts, parallel: Parallel): FieldViolation[] {
  const dense = (weights.model?.experts ?? 0) === 0;
  const found: FieldViolation[] = [];
  if (dense && parallel.data > 1) {
    found.push(wrong("dataParallel", "is for mixture-of-experts models. Ask for more replicas instead."));
  }
  if (dense && parallel.experts && parallel.data === 1) {
    found.push(wrong("expertParallel", "is for mixture-of-experts models, and this one is dense."));
  }
  if (parallel.data > 1 && parallel.nodes > 1) {
    found.push(wrong("dataParallel", "over several nodes is not planned. Ask for one node."));
  }
  return found;
}

function aboutOffload(hardware: Hardware, switches: Switches, spec: SpecValues): FieldViolation[] {
  const found: FieldViolation[] = [];
  const asked = ["kvOffloadBackend", "kvOffloadGiB"].filter((key) => spec[key] !== undefined);
  if (switches.cpuOffloadingEnabled && !switches.kvCacheEnabled) {
    const description = "needs kvCacheEnabled: without a cache there is nothing to keep in main memory.";
    found.push({ field: "cpu_offloading_enabled", description, reason: "INVALID_FIELD" });
  }
  if (!switches.cpuOffloadingEnabled) {
    found.push(...asked.map((key) => wrong(key, "needs cpuOffloadingEnabled.")));
  }
  const gib = numberOf(spec, "kvOffloadGiB") ?? 0;
  const has = Math.floor((hardware.cpuMemoryBytes * (hardware.nodes ?? 1)) / GIB);
  if (gib > has)
    found.push(wrong("kvOffloadGiB", `is ${gib}, and the replica has ${has} GiB of main memory.`));
  return found;
}

/** A served name, and a folder that can't leave the adapters' directory. */
const ADAPTER = /^[\w][\w.-]{0,127}=[\w][\w-]*(\.[\w-]+)*(\/[\w][\w-]*(\.[\w-]+)*)*$/;

function aboutAdapters(spec: SpecValues): FieldViolation[] {
  const found: FieldViolation[] = [];
  const modules = textsOf(spec, "loraModules");
  if (modules.some((one) => !ADAPTER.test(one))) {
    found.push(wrong("loraModules", "must be texts such as name=folder, with a relative folder."));
  }
  const rank = numberOf(spec, "loraRankMax");
  if (rank !== undefined && !LORA_RANKS.includes(rank)) {
    found.push(wrong("loraRankMax", `must be one of ${LORA_RANKS.join(", ")}`));
  }
  if (rank !== undefined && modules.length === 0) found.push(wrong("loraRankMax", "needs loraModules."));
  if (modules.length > 0 && flagOf(spec, "expertParallel") === true) {
    found.push(wrong("loraModules", "can't be served with expertParallel."));
  }
  return found;
}

function wrong(key: string, description: string): FieldViolation {
  return { field: `model_spec.${key}`, description, reason: "SPEC_VALUE_INVALID" };
}
