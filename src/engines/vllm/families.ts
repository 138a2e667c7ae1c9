/** Which of vLLM's parsers understands how a family writes tool calls and thoughts. From vLLM's own lists of parsers. */
import type { WeightsFacts } from "../engine.ts";

export interface Parsers {
  /** `--tool-call-parser`; "" = tool calls are left in the text. */
  readonly tool: string;
  /** `--reasoning-parser`; "" = none. */
  readonly reasoning: string;
  /** Of the chat templates that vLLM's image brings, the one that the parser wants; "" = the model's own. */
  readonly template: string;
}

interface Family extends Parsers {
  /** Matched against "model_type repository-name", lower case. */
  readonly pattern: RegExp;
}

function family(pattern: RegExp, tool: string, reasoning = "", template = ""): Family {
  return { pattern, tool, reasoning, template };
}

/** The first that matches counts, so the special ones come before the general ones. */
const FAMILIES: readonly Family[] = [
  family(/qwen3[\w ]*.*coder/, "qwen3_xml"),
  family(/qwq/, "hermes", "deepseek_r1"),
  family(/deepseek.*r1.*(qwen|llama)|(qwen|llama).*deepseek.*r1/, "", "deepseek_r1"),
  family(/qwen3.*2507.*instruct|qwen3.*instruct-2507/, "hermes"),
  family(/^qwen3/, "hermes", "qwen3"),
  family(/^qwen2/, "hermes"),
  family(/^llama4/, "llama4_pythonic", "", "tool_chat_template_llama4_pythonic.jinja"),
  family(/^llama .*llama-?3/, "llama3_json", "", "tool_chat_template_llama3.1_json.jinja"),
  family(/^gpt_oss/, "openai", "openai_gptoss"),
  family(/^deepseek_v4|deepseek-v4/, "deepseek_v4", "deepseek_v4"),
  family(/deepseek_v32|deepseek-v3\.2/, "deepseek_v32", "deepseek_v3"),
  family(/deepseek-v3\.1/, "deepseek_v31", "deepseek_v3"),
  family(/deepseek.*r1/, "deepseek_v3", "deepseek_r1", "tool_chat_template_deepseekr1.jinja"),
  family(/^deepseek_v3 .*kimi-k2|^kimi_k2/, "kimi_k2", "kimi_k2"),
  family(/^kimi_k3|kimi-k3/, "kimi_k3", "kimi_k3"),
  family(/^deepseek_v3/, "deepseek_v3", "", "tool_chat_template_deepseekv3.jinja"),
  family(/magistral/, "mistral", "mistral"),
  family(/^mistral|^mixtral|^ministral/, "mistral"),
  family(/glm-4\.7/, "glm47", "glm47"),
  family(/^glm4_moe/, "glm45", "glm45"),
  family(/^minimax_m3|minimax-m3/, "minimax_m3", "minimax_m3"),
  family(/^minimax/, "minimax_m2", "minimax_m2"),
  family(/^gemma4/, "gemma4", "gemma4"),
  family(/^hunyuan/, "hunyuan_a13b", "hunyuan_a13b"),
  family(/^seed_oss/, "seed_oss", "seed_oss"),
];

const NONE: Parsers = { tool: "", reasoning: "", template: "" };

/** By model type and, where families share one, by the repository's name. */
export function parsersOf(weights: WeightsFacts): Parsers {
  const name = weights.source.replace(/[@:].*$/, "").replace(/^.*\//, "");
  const known = `${weights.architecture} ${name}`.toLowerCase();
  return FAMILIES.find(({ pattern }) => pattern.test(known)) ?? NONE;
}

/** What modelSpec may name. */
export const TOOL_PARSERS: readonly string[] = namesOf((one) => one.tool);
export const REASONING_PARSERS: readonly string[] = [
  ...new Set([...namesOf((one) => one.reasoning), "minimax_m2_append_think"]),
];

function namesOf(pick: (one: Family) => string): readonly string[] {
  return [...new Set(FAMILIES.map(pick))].filter((name) => name !== "").sort();
}
