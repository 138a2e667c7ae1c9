/** The parts of Kubernetes' objects that the driver reads. Everything else may be there, and may change. */
import { z } from "zod";

export const metaSchema = z.object({
  metadata: z.object({
    name: z.string(),
    uid: z.string().default(""),
    creationTimestamp: z.coerce.date(),
    deletionTimestamp: z.coerce.date().optional(),
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
});

const state = z
  .object({
    waiting: z.object({ reason: z.string().default(""), message: z.string().default("") }).optional(),
    running: z.object({}).optional(),
    terminated: z
      .object({
        reason: z.string().default(""),
        exitCode: z.number().default(0),
        signal: z.number().optional(),
      })
      .optional(),
  })
  .default({});

const containerStatus = z.object({
  name: z.string(),
  ready: z.boolean().default(false),
  started: z.boolean().nullish(),
  restartCount: z.number().default(0),
  state,
  lastState: state,
});

const condition = z.object({
  type: z.string(),
  status: z.string(),
  reason: z.string().default(""),
  message: z.string().default(""),
});

const quantities = z.record(z.string(), z.string()).default({});
const container = z.object({
  name: z.string().default(""),
  image: z.string().default(""),
  resources: z.object({ requests: quantities, limits: quantities }).partial().default({}),
});

export const podSchema = metaSchema.extend({
  spec: z
    .object({
      nodeName: z.string().default(""),
      containers: z.array(container).default([]),
      initContainers: z.array(container).default([]),
    })
    .prefault({}),
  status: z
    .object({
      phase: z.string().default(""),
      reason: z.string().default(""),
      message: z.string().default(""),
      podIP: z.string().default(""),
      conditions: z.array(condition).default([]),
      containerStatuses: z.array(containerStatus).default([]),
      initContainerStatuses: z.array(containerStatus).default([]),
    })
    .prefault({}),
});

export const workloadSchema = metaSchema.extend({
  status: z.object({ conditions: z.array(condition).default([]) }).prefault({}),
});

export const eventSchema = z.object({
  type: z.string().default(""),
  reason: z.string().default(""),
  message: z.string().default(""),
});

export const nodeSchema = metaSchema.extend({
  spec: z.object({ unschedulable: z.boolean().default(false) }).prefault({}),
  status: z.object({ allocatable: quantities, conditions: z.array(condition).default([]) }).prefault({}),
});

export type Meta = z.infer<typeof metaSchema>;
export type Pod = z.infer<typeof podSchema>;
export type Workload = z.infer<typeof workloadSchema>;
export type ContainerStatus = z.infer<typeof containerStatus>;
export type ClusterNode = z.infer<typeof nodeSchema>;

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** A quantity as Kubernetes writes it ("500m", "64Gi", "1e3"); what is none counts as 0. */
export function quantity(text: string | undefined): number {
  const found = /^([\d.]+(?:e\d+)?)([A-Za-z]*)$/.exec(text ?? "");
  return found ? Number(found[1]) * (UNITS[found[2] ?? ""] ?? 0) : 0;
}
