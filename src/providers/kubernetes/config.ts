/** What an operator says about a Kubernetes region. Secrets are named by the path of their file, never written here. */
import { z } from "zod";

const GIB_MAX = 1_000_000;

const path = z.string().regex(/^\/[^\0]*$/, "must be an absolute path");
const label = z
  .string()
  .regex(/^([a-z0-9.-]+\/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/, "must be the name of a label");
const labels = z.record(label, z.string().max(63)).default({});
const name = z
  .string()
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, "must be a name as Kubernetes has them: a-z, 0-9, - and .");
const namespace = name.max(63);
const image = z.string().regex(/^[^\s]{1,512}$/, "must be an image, such as registry.example.com/vllm:v1");
const gib = z.number().positive().max(GIB_MAX);

const gpu = z.strictObject({
  /** What pods ask for. */
  resource: label.default("nvidia.com/gpu"),
  /** Labels that a node with this type has; all of them. */
  nodeLabels: labels.refine(
    (all) => Object.keys(all).length > 0,
    "must name at least one label of the nodes",
  ),
  /** Of one GPU; absent: from the label nvidia.com/gpu.memory of the nodes. */
  memoryGib: gib.optional(),
});

const toleration = z.strictObject({
  key: z.string().optional(),
  operator: z.enum(["Exists", "Equal"]).default("Exists"),
  value: z.string().optional(),
  effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(),
});

const peer = z
  .strictObject({
    namespaceLabels: labels,
    podLabels: labels,
    cidr: z
      .string()
      .regex(/^[0-9a-fA-F.:]+\/\d{1,3}$/, "must be a range, such as 10.0.0.0/8")
      .optional(),
  })
  .refine(
    (one) =>
      one.cidr !== undefined ||
      Object.keys(one.namespaceLabels).length + Object.keys(one.podLabels).length > 0,
    "must have a cidr, or labels of pods or namespaces",
  );

/** Where the weights lie. Each replica reads them; with `fetch` an init container brings what is missing. */
const weights = z.discriminatedUnion("kind", [
  z.strictObject({
    /** A claim of its own for each replica, gone with it. */
    kind: z.literal("volume"),
    storageClass: name.optional(),
    /** Added to the size of the weights. */
    spareGib: gib.default(10),
  }),
  z.strictObject({
    /** A claim that the operator made, shared by all replicas (ReadWriteMany, or ReadOnlyMany without fetch). */
    kind: z.literal("claim"),
    claim: name,
    fetch: z.boolean().default(true),
  }),
  z.strictObject({
    /** A folder of every node, mounted under its own path. Without fetch the operator fills it: for clusters without a way out. */
    kind: z.literal("hostPath"),
    path,
    fetch: z.boolean().default(false),
  }),
  z.strictObject({
    /** Room of the node, gone with the pod. */
    kind: z.literal("emptyDir"),
  }),
]);

export const kubernetesSchema = z.strictObject({
  /** Absent: the service account of the pod that Slipway runs in. */
  kubeconfig: path.optional(),
  /** Absent: the kubeconfig's current one. */
  context: z.string().min(1).optional(),
  namespace,
  /** How replicas are reached: from where every role runs, or only from a gateway role in the cluster. */
  reach: z.enum(["direct", "gateway"], {
    error: "must be direct or gateway: engines of a cluster have no certificate that could be pinned",
  }),
  engines: z
    .strictObject({
      vllm: z.strictObject({ image, executable: z.string().min(1).default("vllm") }).optional(),
      "llama.cpp": z
        .strictObject({
          image,
          node: z.string().min(1).default("node"),
          main: path.default("/app/dist/src/llama-server/main.js"),
        })
        .optional(),
    })
    .refine((all) => Object.keys(all).length > 0, "must name the image of at least one engine"),
  pullSecrets: z.array(name).max(10).default([]),
  gpus: z.partialRecord(z.enum(["A100", "H100", "H200", "B200"]), gpu).default({}),
  /** Present: replicas without GPUs run on the nodes with these labels. */
  cpu: z.strictObject({ nodeLabels: labels }).optional(),
  /** The label by whose value a `nodeId` means a node. */
  nodeLabel: label.default("kubernetes.io/hostname"),
  weights,
  /** Where a replica may connect to: DNS and https for its weights, nowhere, or everywhere. */
  egress: z.enum(["weights", "none", "open"]).default("weights"),
  /** Who may connect to engines; empty: every pod of the namespace. */
  ingressFrom: z.array(peer).max(20).default([]),
  runtimeClass: name.optional(),
  priorityClass: name.optional(),
  tolerations: z
    .array(toleration)
    .max(20)
    .default([{ key: "nvidia.com/gpu", operator: "Exists" }]),
  /** Main memory that a replica asks for with each GPU, besides what it offloads. */
  memoryPerGpuGib: gib.default(32),
  cpusPerGpu: z.number().positive().max(256).default(4),
  /** Who engines run as; images must not need root. */
  uid: z.number().int().min(1).max(2_000_000_000).default(65_532),
});

export type KubernetesConfig = z.infer<typeof kubernetesSchema>;
