/**
 * The engine port: pure planning. An engine folder turns (weights, hardware, switches, modelSpec) into what a driver
 * starts, how much memory it takes, and how to read its health, metrics and usage. It opens no file and no socket.
 */
import type { FieldViolation } from "../base/status.ts";

/** What weights are, as found at the hub, on disk or built in. */
export interface WeightsFacts {
  /** As the user wrote it: `org/repo`, `org/repo@revision:file`, `file:///…`, `builtin://tiny`. */
  readonly source: string;
  /** The commit that the hub resolved the revision to; "" for files and built-in weights. */
  readonly revision: string;
  /** What must be on disk before the engine starts, in the order in which the engine opens them. */
  readonly files: readonly WeightsFile[];
  readonly format: "gguf" | "safetensors";
  readonly sizeBytes: number;
  readonly architecture: string;
  readonly layers: number;
  readonly embedding: number;
  readonly heads: number;
  readonly headsKv: number;
  readonly headSize: number;
  readonly contextMax: number;
  readonly vocabulary: number;
}

export type GpuType = "UNSPECIFIED" | "A100" | "H100" | "H200" | "B200";

export interface WeightsFile {
  /** Path inside the repository, or the absolute path of a local file. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Lower-case hex; "" where the source tells none (then size is what is checked). */
  readonly sha256: string;
}

/** What one replica may use. */
export interface Hardware {
  readonly gpuType: GpuType;
  /** 0 = a CPU replica. */
  readonly gpuCount: number;
  /** Of one GPU; 0 for a CPU replica. */
  readonly gpuMemoryBytes: number;
  readonly cpuMemoryBytes: number;
  readonly cpuCount: number;
}

export interface Switches {
  readonly kvCacheEnabled: boolean;
  readonly cpuOffloadingEnabled: boolean;
}

/** Typed, validated modelSpec values of one engine; unknown keys never get here. */
export type SpecValues = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** One line of the memory plan, as preflight prints it. */
export interface FitLine {
  readonly item: string;
  readonly bytes: number;
}

export interface Fit {
  readonly fits: boolean;
  readonly availableBytes: number;
  readonly lines: readonly FitLine[];
  /** Largest context, in tokens, that fits with these switches; 0 when even the weights don't. */
  readonly contextMaxTokens: number;
  /** Context that the plan uses. */
  readonly contextTokens: number;
}

/** A key of modelSpec that an engine understands. */
export interface SpecKey {
  readonly name: string;
  readonly type: "int" | "number" | "boolean" | "string" | "strings";
  readonly description: string;
  readonly min?: number;
  readonly max?: number;
  readonly oneOf?: readonly string[];
  /** May change on a deployed model (by a rolling generation). */
  readonly mutable: boolean;
}

/** What the driver runs. Secrets are handed apart (see driver.ts) and are never in `options`. */
export interface EnginePlan {
  readonly engine: string;
  /** Settings of the engine process, JSON-serializable. */
  readonly options: Readonly<Record<string, string | number | boolean>>;
  readonly contextTokens: number;
  readonly sequencesMax: number;
  readonly memoryBytes: number;
}

export interface Engine {
  readonly name: string;
  readonly specKeys: readonly SpecKey[];
  /** True when this engine can serve these weights on this hardware. */
  supports(weights: WeightsFacts, hardware: Hardware): boolean;
  fit(weights: WeightsFacts, hardware: Hardware, switches: Switches, spec: SpecValues): Fit;
  plan(weights: WeightsFacts, hardware: Hardware, switches: Switches, spec: SpecValues): EnginePlan;
}

export type SpecResult =
  | { readonly ok: true; readonly values: SpecValues }
  | { readonly ok: false; readonly violations: readonly FieldViolation[] };
