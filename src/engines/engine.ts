/**
 * The engine port: pure planning. An engine folder turns (weights, hardware, switches, modelSpec) into what a driver
 * starts, how much memory it takes, and how to read its health, metrics and usage. It opens no file and no socket.
 */
import type { FieldViolation, Reason } from "../base/status.ts";

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
  /** What only a config.json tells; absent for GGUF weights. */
  readonly model?: ModelDetails;
}

/** The part of a config.json that decides how weights are split, cached and parsed. */
export interface ModelDetails {
  /** Class names, as engines look them up: `Qwen3ForCausalLM`. */
  readonly architectures: readonly string[];
  /** Of the unquantized tensors: `bfloat16`; "" where the file tells none. */
  readonly dtype: string;
  /** `fp8`, `awq`, `mxfp4` …; "" = not quantized. */
  readonly quantization: string;
  /** Routed experts of a layer; 0 = dense. */
  readonly experts: number;
  /** Layers that keep keys and values. Layers whose state does not grow with the context are in no group. */
  readonly attention: readonly AttentionGroup[];
}

/** Layers whose cache has the same shape. */
export interface AttentionGroup {
  readonly layers: number;
  /** Vectors that a token leaves in a layer: KV heads × 2, or 1 where keys and values share one latent vector (MLA). */
  readonly vectors: number;
  /** Elements of such a vector. */
  readonly size: number;
  /** A latent vector is needed whole by every tensor-parallel part; KV heads are dealt out among them. */
  readonly latent: boolean;
  /** Tokens that are kept; 0 = all. */
  readonly window: number;
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
  /** Machines over which the GPUs are spread evenly; absent = 1. */
  readonly nodes?: number;
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

/** Memory of what runs out first: the machine of a CPU replica, or one of the replica's GPUs. */
export interface Fit {
  readonly fits: boolean;
  /** Present where the figures are those of one GPU. */
  readonly of?: "gpu";
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
  readonly options: Readonly<Record<string, string | number | boolean | readonly string[]>>;
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
  /** What valid values say against the weights, the hardware or the switches; absent = nothing can. */
  contradictions?(
    weights: WeightsFacts,
    hardware: Hardware,
    switches: Switches,
    spec: SpecValues,
  ): readonly FieldViolation[];
  /** For engines that are programs of their own. `plan` is one of `plan()`, possibly stored in between. */
  command?(plan: EnginePlan, site: EngineSite): EngineCommand;
  /** What a line of the log says; undefined for most. */
  readLog?(line: string): LogEvent | undefined;
}

/** A process or container to start, for engines that are programs of their own. */
export interface EngineCommand {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** To be written before the start, readable by the engine's user alone. */
  readonly files: readonly EngineFile[];
  readonly ports: readonly EnginePort[];
  /** Undefined for a process that answers nobody but its leader. */
  readonly probes: EngineProbes | undefined;
}

/** Where a command runs; what only the driver knows. All paths as the engine sees them. */
export interface EngineSite {
  /** The program to start; how it is called is the engine's matter. */
  readonly executable: string;
  /** Words to call it by instead, before the flags: `vllm serve`, `python3 -m …`. One that ends in `serve` takes the model as a word. */
  readonly command?: readonly string[];
  /** The folder with config.json, tokenizer and weights. */
  readonly modelPath: string;
  readonly servedNames: readonly string[];
  readonly host: string;
  readonly port: number;
  /** Where `files` of the command will lie. */
  readonly dir: string;
  readonly engineKey: string;
  /** Where adapters' folders lie; "" = there are none. */
  readonly adaptersDir: string;
  /** Where the engine's own chat templates lie; "" = nowhere known. */
  readonly templatesDir: string;
  /** Where what was evaluated outlives the engine; absent: nowhere. */
  readonly storage?: EngineStorage;
  /** How long a running answer may go on after the order to stop. */
  readonly drainSeconds: number;
  /** Which of several machines this is; the leader has rank 0. */
  readonly node?: { readonly rank: number; readonly leader: string };
}

export interface EngineStorage {
  /** A folder of the engine's user. */
  readonly dir: string;
}

export interface EngineFile {
  /** Absolute path, as the engine sees it. */
  readonly path: string;
  readonly text: string;
  /** A Secret rather than a ConfigMap, and never in a log. */
  readonly secret: boolean;
}

export interface EnginePort {
  readonly name: string;
  readonly port: number;
  /** Who connects: the gateway, or only parts of the same replica. */
  readonly from: "gateway" | "replica";
}

export interface EngineProbes {
  readonly path: string;
  readonly port: number;
  readonly periodSeconds: number;
  /** Failed asks after which the start counts as hung. */
  readonly startupFailures: number;
  readonly livenessFailures: number;
  readonly readinessFailures: number;
}

/** What a line of a starting engine's log says. */
export type LogEvent =
  | { readonly kind: "progress"; readonly detail: string; readonly share?: number }
  | {
      readonly kind: "measured";
      readonly what: "weightsBytes" | "kvBytes" | "kvTokens";
      readonly value: number;
    }
  | { readonly kind: "ready" }
  | { readonly kind: "failure"; readonly reason: Reason; readonly message: string };

export type SpecResult =
  | { readonly ok: true; readonly values: SpecValues }
  | { readonly ok: false; readonly violations: readonly FieldViolation[] };
