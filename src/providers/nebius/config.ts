/** What an operator says of a Nebius region whose nodes are made for each replica. Secrets are named by the path of their file. */
import { z } from "zod";

const path = z.string().regex(/^\/[^\0]*$/, "must be an absolute path");
const word = z.string().regex(/^[a-z0-9.-]{1,63}$/, "must be of a-z, 0-9, - and .");
/** As the cloud names its sizes; the numbers are read from the name. */
export const PRESET = /^(\d+)gpu-(\d+)vcpu-(\d+)gb$/;
const preset = z.string().regex(PRESET, "must be a size with GPUs, such as 8gpu-128vcpu-1600gb");

/** Bearer tokens go there, so they travel encrypted; plain HTTP is for tests on this machine. */
const address = z
  .url()
  .refine(
    (text) => /^https:\/\//.test(text) || /^http:\/\/127\.0\.0\.1(:\d+)?\/?$/.test(text),
    "must be https",
  );

const gpu = z.strictObject({
  /** Absent: the one of presets.ts. */
  platform: word.optional(),
  presets: z.array(preset).min(1).max(20).optional(),
  /** The drivers that the nodes' image has; "": none, because the cluster's GPU operator installs them. */
  driversPreset: z.union([word, z.literal("")]).default("cuda13.0"),
  /** Absent: the cloud's default for the drivers. */
  os: word.optional(),
  /** Cheaper machines that the cloud takes back when it needs them: the replica is then made anew. */
  preemptible: z.boolean().default(false),
});

export const NEBIUS_GPUS = ["H100", "H200", "B200"] as const;

export const nebiusSchema = z.strictObject({
  /** The key of a service account, as `nebius iam auth-public-key generate --output` writes it. */
  credentials: path,
  /** A running Managed Kubernetes cluster of the region. */
  clusterId: word,
  /** Which of the cluster's addresses is used where `kubernetes.kubeconfig` is absent. */
  endpoint: z.enum(["public", "private"]).default("public"),
  /** Absent: all types that the region has. */
  gpus: z.partialRecord(z.enum(NEBIUS_GPUS), gpu).optional(),
  /** Of a node: the engine's image, and the weights where they lie on the node. The cloud has 64 at least. */
  diskGib: z.number().int().min(64).max(16_384).default(512),
  /** How long nodes that were promised may take. The control plane itself waits 30 minutes for a machine. */
  nodesMinutesMax: z.number().int().min(2).max(25).default(15),
  addresses: z
    .strictObject({
      mk8s: address.default("https://mk8s.api.nebius.cloud:443"),
      tokens: address.default("https://tokens.iam.api.nebius.cloud:443"),
      compute: address.default("https://compute.api.nebius.cloud:443"),
      quotas: address.default("https://quota-dispatcher.billing-cpl.api.nebius.cloud:443"),
    })
    .prefault({}),
});

export type NebiusConfig = z.infer<typeof nebiusSchema>;
export type NebiusGpu = z.infer<typeof gpu>;
