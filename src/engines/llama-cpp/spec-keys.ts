/** The modelSpec keys of the llama.cpp engine. */
import type { SpecKey } from "../engine.ts";

/** llama.cpp's own limit of sequences in a context is higher; past this a CPU only shares the same speed among more. */
export const SEQUENCES_MAX = 64;
export const THREADS_MAX = 64;

export const specKeys: readonly SpecKey[] = [
  {
    name: "contextTokens",
    type: "int",
    description:
      "Longest prompt and answer together, in tokens. Default: 8192, or less where the model or the memory allows only less.",
    min: 256,
    max: 1_048_576,
    mutable: true,
  },
  {
    name: "sequencesMax",
    type: "int",
    description:
      "Requests that run at the same time; each has its own KV cache. Further ones wait. Default: 4.",
    min: 1,
    max: SEQUENCES_MAX,
    mutable: true,
  },
  {
    name: "threads",
    type: "int",
    description: "CPU threads of the replica. Default: half of the cores, at most 4; 1 for tiny weights.",
    min: 1,
    max: THREADS_MAX,
    mutable: true,
  },
];
