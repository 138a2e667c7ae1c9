import type { WeightsFacts } from "../engines/engine.ts";
import type { Cache } from "./cache.ts";
import type { Hub } from "./hub-answers.ts";

/** What the verbs of this domain work with. */
export interface WeightsDeps {
  readonly hub: Hub;
  readonly cache: Cache;
  readonly allowedDirs: readonly string[];
  readonly builtin: Builtin;
  /** What is known of built-in weights, by their source's text. */
  readonly builtinFacts: Map<string, WeightsFacts>;
}

/** Weights made on the spot: the bytes for a name, the same for the same seed; undefined for an unknown name. */
export type Builtin = (name: string, params: { readonly seed: number }) => Buffer | undefined;
