/** The vLLM engine: safetensors weights on GPUs, and on CPUs where its CPU build is installed. */
import type { Engine } from "../engine.ts";
import { command } from "./command.ts";
import { contradictions } from "./contradictions.ts";
import { readLog } from "./log-lines.ts";
import { fit, plan, supports } from "./plan.ts";
import { specKeys } from "./spec-keys.ts";

export { failureOf } from "./log-lines.ts";
export { kvPool } from "./memory.ts";

export const vllm = {
  name: "vllm",
  specKeys,
  supports,
  fit,
  plan,
  contradictions,
  command,
  readLog,
} satisfies Engine;
