/** The llama.cpp engine: GGUF weights on CPU replicas. */
import type { Engine } from "../engine.ts";
import { fit, plan, supports } from "./plan.ts";
import { specKeys } from "./spec-keys.ts";

export { tinyGguf } from "./tiny-gguf.ts";

export const llamaCpp: Engine = { name: "llama.cpp", specKeys, supports, fit, plan };
