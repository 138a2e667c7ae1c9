/** The providers beside the local region, from the file that SLIPWAY_PROVIDERS_FILE names. */
import { readFile, stat } from "node:fs/promises";
import { z } from "zod";
import { StatusError } from "../base/status.ts";
import { kubernetesSchema } from "../providers/kubernetes/config.ts";
import { lambdaSchema } from "../providers/lambda/config.ts";
import { nebiusSchema } from "../providers/nebius/config.ts";
import { kindsOf } from "../providers/nebius/presets.ts";
import type { Config } from "./config.ts";

const region = z
  .strictObject({
    provider: z.enum(["onprem", "nebius", "yotta"]),
    region: z
      .string()
      .max(63)
      .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, "must be a name of a-z, 0-9 and -"),
    kubernetes: kubernetesSchema,
    /** Present: nodes with GPUs are made for each replica. Absent: the cluster is used as it is. */
    nebius: nebiusSchema.optional(),
  })
  .superRefine(({ provider, region: name, kubernetes, nebius }, ctx) => {
    if (!nebius) return;
    const say = (path: string, message: string) => ctx.addIssue({ code: "custom", path: [path], message });
    if (provider !== "nebius") say("nebius", `is for the provider nebius, not for ${provider}`);
    if (Object.keys(kubernetes.gpus).length > 0)
      say("kubernetes", "gpus: nodes are made for each replica, so name their types in nebius.gpus instead");
    if (kindsOf(name, nebius).length === 0)
      say("nebius", `gpus: no GPU type of the region ${name} is known. Name at least one`);
  });

const schema = z.strictObject({
  regions: z.array(region).max(100).default([]),
  /** An account at Lambda Cloud, with the regions in which machines may be had. */
  lambda: lambdaSchema.optional(),
});

export type ProvidersConfig = z.infer<typeof schema>;
export type RegionConfig = z.infer<typeof region>;

/** Larger than any list of regions. */
const FILE_BYTES_MAX = 1024 * 1024;
const WRITABLE_BY_OTHERS = 0o022;

/** The places of this installation. Throws CONFIG_INVALID, also for play money where machines cost real money. */
export async function providersOf(
  config: Pick<Config, "SLIPWAY_PROVIDERS_FILE" | "SLIPWAY_REGION" | "SLIPWAY_PAYMENTS">,
): Promise<ProvidersConfig> {
  const providers = await readProviders(config.SLIPWAY_PROVIDERS_FILE, config.SLIPWAY_REGION);
  const rented = providers.regions.find((one) => one.provider !== "onprem")?.provider;
  const cloud = rented ?? (providers.lambda && "lambda");
  if (config.SLIPWAY_PAYMENTS !== "test" || !cloud) return providers;
  throw refused(
    `${cloud} costs real money, and SLIPWAY_PAYMENTS=test takes play money. Turn one of them off`,
  );
}

/** Reads and checks the file; all that is wrong is told at once, by field. Without a file there is nothing but the local region. */
export async function readProviders(file: string | undefined, localRegion: string): Promise<ProvidersConfig> {
  if (file === undefined) return parseProviders("{}", localRegion);
  const info = await stat(file).catch((cause: unknown) => {
    throw refused("the file can't be read. Check the path and its rights", cause);
  });
  if ((info.mode & WRITABLE_BY_OTHERS) !== 0) {
    throw refused("others than its owner may write the file. Take that away: chmod go-w");
  }
  if (info.size > FILE_BYTES_MAX) throw refused(`the file is larger than ${FILE_BYTES_MAX} bytes`);
  return parseProviders(await readFile(file, "utf8"), localRegion);
}

/** Throws CONFIG_INVALID. */
export function parseProviders(text: string, localRegion: string): ProvidersConfig {
  const parsed = schema.safeParse(parseJson(text));
  if (!parsed.success) {
    throw refused(parsed.error.issues.map((issue) => `${fieldOf(issue.path)}: ${issue.message}`).join("; "));
  }
  const seen = new Set([`onprem/${localRegion}`]);
  for (const [index, one] of parsed.data.regions.entries()) {
    const place = `${one.provider}/${one.region}`;
    if (seen.has(place)) {
      throw refused(
        `regions[${index}].region: ${place} is there already; the region of this machine itself is ${localRegion} (SLIPWAY_REGION)`,
      );
    }
    seen.add(place);
  }
  return parsed.data;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw refused("the file is no JSON", cause);
  }
}

function fieldOf(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  return text === "" ? "the whole" : text.replace(/^\./, "");
}

function refused(what: string, cause?: unknown): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message: `SLIPWAY_PROVIDERS_FILE: ${what}.`,
    ...(cause === undefined ? {} : { cause }),
  });
}
