/** What an operator says about Lambda Cloud. Secrets are named by the path of their file, never written here. */
import { z } from "zod";
import { LAMBDA_REGIONS } from "./regions.ts";

const path = z.string().regex(/^\/[^\0]*$/, "must be an absolute path");
const region = z.enum(LAMBDA_REGIONS);
const name = z.string().min(1).max(64);
const image = z.string().regex(/^[^\s]{1,512}$/, "must be an image, such as vllm/vllm-openai:v0.32.0");

export const LAMBDA_API = "https://cloud.lambda.ai/api/v1";

/** A key in plain text goes to nobody but this machine itself. */
const endpoint = z
  .url()
  .refine(isSafe, "must be https")
  .transform((url) => url.replace(/\/+$/, ""))
  .default(LAMBDA_API);

function isSafe(text: string): boolean {
  const url = URL.parse(text);
  if (url?.protocol === "https:") return true;
  return url?.protocol === "http:" && (url.hostname === "127.0.0.1" || url.hostname === "localhost");
}

export const lambdaSchema = z.strictObject({
  /** Holds the API key and nothing else. It is read at each call, so a renewed key needs no restart. */
  apiKeyFile: path,
  endpoint,
  /** Where machines may be had. */
  regions: z.array(region).min(1).max(LAMBDA_REGIONS.length),
  engines: z.strictObject({ vllm: z.strictObject({ image }) }),
  /** Name of a key at Lambda, with which an operator can log in to machines; absent: nobody can. */
  sshKey: name.optional(),
  /** What machines boot; absent: Lambda's newest Lambda Stack. */
  image: z
    .union([z.strictObject({ id: z.string().min(1).max(64) }), z.strictObject({ family: name })])
    .optional(),
  /** By region: ids of firewall rulesets that a machine gets. They must let in TCP at `port`. */
  firewallRulesets: z.partialRecord(region, z.array(z.string().min(1).max(64)).max(10)).default({}),
  /** By region: the name of a file system that keeps weights, so that only the first machine downloads them. */
  fileSystems: z.partialRecord(region, name).default({}),
  /** Where machines listen; all else is closed. */
  port: z.int().min(1).max(65_535).default(8443),
});

export type LambdaConfig = z.infer<typeof lambdaSchema>;
