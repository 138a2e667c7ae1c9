/** The rules of a deploy request that need nothing but the request: all that is broken is told at once. */
import { type FieldViolation, invalidArgument } from "../base/status.ts";
import { composed, hidesSomething } from "../base/visible-text.ts";
import type { Engine, GpuType } from "../engines/engine.ts";
import { validateSpec } from "../engines/spec.ts";
import { type Provider, REPLICAS_MAX, type WantedPlace } from "./model.ts";

/** Regions as the request carries them: each under the provider whose word it is. "" is absent. */
export interface WantedRegions {
  readonly NEBIUS?: string;
  readonly LAMBDA?: string;
  readonly ONPREM?: string;
}

/** A deploy as it came over the wire, with the owner already decided. */
export interface DeployInput {
  readonly ownerId: string;
  readonly modelName: string;
  readonly description: string;
  readonly modelPath: string;
  /** Undefined for any. */
  readonly provider: Provider | undefined;
  readonly regions: WantedRegions;
  readonly gpuType: GpuType;
  readonly gpuCount: number;
  /** The JSON object of the request; undefined for none. */
  readonly modelSpec: unknown;
  /** "" to have one made. */
  readonly apiKey: string;
  readonly hfToken: string;
  /** As the wire has it: absent is false. */
  readonly kvCacheEnabled: boolean;
  readonly cpuOffloadingEnabled: boolean;
  readonly nodeId: string;
  /** 0 means 1. */
  readonly replicas: number;
  /** Machines that their provider may take back will do. */
  readonly spot?: boolean;
  /** Most that a GPU hour may cost where it is fallen back to; undefined: what is named for the chosen place. */
  readonly priceMax?: { readonly currency: string; readonly nanosPerHour: bigint } | undefined;
}

export interface Deploy extends DeployInput {
  readonly wanted: WantedPlace;
}

const NAME_LENGTH_MAX = 100;
const DESCRIPTION_LENGTH_MAX = 2_000;
const PATH_LENGTH_MAX = 1_024;
const API_KEY = /^[!-~]{32,256}$/;
const HF_TOKEN = /^[!-~]{0,512}$/;

/** Throws INVALID_ARGUMENT with every violation: MODEL_NAME_INVALID, REGION_CONFLICT, GPU_COUNT_INVALID, SPEC_KEY_UNKNOWN … */
export function parseDeploy(input: DeployInput, engines: readonly Engine[]): Deploy {
  const violations = [
    ...nameViolations(input.modelName),
    ...textViolations(input),
    ...placeViolations(input),
    ...gpuViolations(input),
    ...specViolations(input.modelSpec, engines),
    ...replicaViolations(input.replicas),
  ];
  if (violations.length > 0) throw invalidArgument(violations);
  const [region] = regionsOf(input);
  return {
    ...input,
    modelName: composed(input.modelName),
    replicas: input.replicas === 0 ? 1 : input.replicas,
    wanted: {
      provider: input.provider ?? region?.[0],
      region: region?.[1],
      gpuType: input.gpuType,
      gpuCount: input.gpuCount,
      nodeId: input.nodeId,
      ...(input.spot ? { spot: true } : {}),
      ...(input.priceMax ? { priceMax: boundOf(input.priceMax) } : {}),
    },
  };
}

/** As text: rows keep it as JSON, which has no such numbers. */
function boundOf({ currency, nanosPerHour }: NonNullable<DeployInput["priceMax"]>) {
  return { currency, nanosPerHour: String(nanosPerHour) };
}

/** A key of modelSpec that no engine knows is refused before weights and place are looked at. */
export function specViolations(modelSpec: unknown, engines: readonly Engine[]): readonly FieldViolation[] {
  const results = engines.map((engine) => validateSpec(engine.specKeys, modelSpec));
  if (results.length === 0 || results.some((result) => result.ok)) return [];
  const failed = results.flatMap((result) => (result.ok ? [] : [result.violations]));
  return failed.reduce((fewest, each) => (each.length < fewest.length ? each : fewest));
}

export function descriptionViolations(description: string): readonly FieldViolation[] {
  if (description.length <= DESCRIPTION_LENGTH_MAX) return [];
  return [{ field: "description", description: `must be at most ${DESCRIPTION_LENGTH_MAX} characters` }];
}

export function replicaViolations(replicas: number): readonly FieldViolation[] {
  if (Number.isInteger(replicas) && replicas >= 0 && replicas <= REPLICAS_MAX) return [];
  return [{ field: "replicas", description: `must be a whole number from 1 to ${REPLICAS_MAX}` }];
}

function nameViolations(name: string): readonly FieldViolation[] {
  if (name.trim() !== "" && name.length <= NAME_LENGTH_MAX && !hidesSomething(name)) return [];
  const description = `must be 1 to ${NAME_LENGTH_MAX} characters without control characters and others that nobody sees`;
  return [{ field: "model_name", description, reason: "MODEL_NAME_INVALID" }];
}

function textViolations(input: DeployInput): readonly FieldViolation[] {
  const violations: FieldViolation[] = [...descriptionViolations(input.description)];
  const { modelPath } = input;
  if (
    modelPath === "" ||
    modelPath.length > PATH_LENGTH_MAX ||
    /\s/.test(modelPath) ||
    hidesSomething(modelPath)
  ) {
    const description = `must be 1 to ${PATH_LENGTH_MAX} characters without spaces, such as org/repo`;
    violations.push({ field: "model_path", description });
  }
  if (input.apiKey !== "" && !API_KEY.test(input.apiKey)) {
    const description = "must be 32 to 256 visible ASCII characters, or empty to have one made";
    violations.push({ field: "api_key", description });
  }
  if (!HF_TOKEN.test(input.hfToken)) {
    violations.push({ field: "hf_token", description: "must be at most 512 visible ASCII characters" });
  }
  return violations;
}

const REGION_FIELDS = { NEBIUS: "nebius_region", LAMBDA: "lambda_region", ONPREM: "onprem_region" } as const;

function regionsOf({ regions }: DeployInput): readonly [keyof WantedRegions, string][] {
  const given: [keyof WantedRegions, string][] = [];
  for (const provider of ["NEBIUS", "LAMBDA", "ONPREM"] as const) {
    const region = regions[provider];
    if (region) given.push([provider, region]);
  }
  return given;
}

function placeViolations(input: DeployInput): readonly FieldViolation[] {
  const given = regionsOf(input);
  const conflicts =
    given.length > 1 ? given.slice(1) : given.filter(([provider]) => !accepts(input, provider));
  return conflicts.map(([provider]) => ({
    field: `infra.${REGION_FIELDS[provider]}`,
    description:
      given.length > 1
        ? "only one region may be set"
        : `is a region of ${provider}, but the provider is ${input.provider}`,
    reason: "REGION_CONFLICT",
  }));
}

function accepts(input: DeployInput, provider: Provider): boolean {
  return input.provider === undefined || input.provider === provider;
}

function gpuViolations({ gpuCount, gpuType }: DeployInput): readonly FieldViolation[] {
  const field = "gpu_count";
  if (!Number.isInteger(gpuCount) || gpuCount < 0) {
    return [{ field, description: "must be 0 or more", reason: "GPU_COUNT_INVALID" }];
  }
  if (gpuCount === 0 && gpuType !== "UNSPECIFIED") {
    const description = `must be 1 or more with the GPU type ${gpuType}; for a replica on CPUs leave the type out`;
    return [{ field, description, reason: "GPU_COUNT_INVALID" }];
  }
  return [];
}
