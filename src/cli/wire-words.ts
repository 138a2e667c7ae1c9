/** The wire's words for places and hardware, as the user writes and reads them. */
import { create } from "@bufbuild/protobuf";
import {
  CloudProvider,
  type Infra,
  InfraSchema,
  LambdaRegion,
  NebiusRegion,
} from "../../gen/tensormesh/common/v1/cloud_provider_pb.js";
import { GPUType } from "../../gen/tensormesh/common/v1/gpu_type_pb.js";
import { invalidArgument } from "../base/status.ts";

/** "H100"; "" for unspecified. */
export function gpuName(type: GPUType): string {
  return type === GPUType.GPU_TYPE_UNSPECIFIED ? "" : (GPUType[type] ?? "").replace(/^GPU_TYPE_/, "");
}

/** "2 x H100", "CPU". */
export function hardware(gpuCount: number, gpuType: GPUType): string {
  return gpuCount === 0 ? "CPU" : `${gpuCount} x ${gpuName(gpuType) || "any GPU"}`;
}

/** "ONPREM/local", "NEBIUS/EU_NORTH1"; "" where nothing was chosen. */
export function placeName(infra: Infra | undefined): string {
  if (infra === undefined || infra.cloudProvider === CloudProvider.UNSPECIFIED) return "";
  const region = regionName(infra);
  return `${CloudProvider[infra.cloudProvider]}${region === "" ? "" : `/${region}`}`;
}

/** A GPU type by its name in any case of letters, with or without the wire's prefix; "" and "cpu" are unspecified. */
export function gpuTypeOf(name: string, field: string): GPUType {
  const bare = wireWord(name).replace(/^GPU_TYPE_/, "");
  if (bare === "" || bare === "CPU") return GPUType.GPU_TYPE_UNSPECIFIED;
  return pick(GPUType, `GPU_TYPE_${bare}`, field, "GPU_TYPE_");
}

export function providerOf(name: string, field: string): CloudProvider {
  return pick(CloudProvider, wireWord(name).replace(/^CLOUD_PROVIDER_/, ""), field, "");
}

/** Provider and region as the request has them; undefined where neither is named. */
export function infraOf(provider: string | undefined, region: string | undefined): Infra | undefined {
  if (provider === undefined && region === undefined) return undefined;
  // A region alone is one of the operator's own: clouds are named.
  const cloudProvider = providerOf(provider ?? "onprem", "--provider");
  return create(InfraSchema, { cloudProvider, ...regionOf(cloudProvider, region) });
}

function regionOf(provider: CloudProvider, name: string | undefined): { region?: Infra["region"] } {
  if (name === undefined) return {};
  if (provider === CloudProvider.NEBIUS) {
    const value = pick(NebiusRegion, wireWord(name).replace(/^NEBIUS_REGION_/, ""), "--region", "");
    return { region: { case: "nebiusRegion", value } };
  }
  if (provider === CloudProvider.LAMBDA) {
    const value = pick(LambdaRegion, wireWord(name).replace(/^LAMBDA_REGION_/, ""), "--region", "");
    return { region: { case: "lambdaRegion", value } };
  }
  return { region: { case: "onpremRegion", value: name } };
}

function regionName({ region }: Infra): string {
  if (region.case === "onpremRegion") return region.value;
  if (region.case === "nebiusRegion") return NebiusRegion[region.value] ?? "";
  return region.case === "lambdaRegion" ? (LambdaRegion[region.value] ?? "") : "";
}

/** "eu-north1" is EU_NORTH1 on the wire. */
function wireWord(text: string): string {
  return text.trim().toUpperCase().replaceAll("-", "_");
}

/** The value of an enum by its name; throws INVALID_FIELD with every name that there is. */
export function pick<T extends number>(
  values: Readonly<Record<string, T | string>>,
  name: string,
  field: string,
  prefix: string,
): T {
  const found = values[name];
  if (typeof found === "number" && found !== 0) return found;
  const names = Object.entries(values)
    .filter(([, value]) => typeof value === "number" && value !== 0)
    .map(([known]) => known.slice(prefix.length).toLowerCase());
  throw invalidArgument([
    { field, description: `"${name.slice(prefix.length)}" is none of ${names.join(", ")}` },
  ]);
}
