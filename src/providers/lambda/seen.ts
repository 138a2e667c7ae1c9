/** Lambda's answers, as far as they are read. What is new there is passed over. */
import { z } from "zod";

export const instanceSchema = z.object({
  id: z.string().min(1),
  name: z.string().nullish(),
  ip: z.string().nullish(),
  /** booting, active, unhealthy, terminating, terminated, preempted; a new word counts as one of a machine that is there. */
  status: z.string(),
  region: z.object({ name: z.string() }),
  instance_type: z.object({ name: z.string() }),
});
export type Instance = z.infer<typeof instanceSchema>;

export const instanceTypeSchema = z.object({
  instance_type: z.object({
    name: z.string(),
    gpu_description: z.string().default(""),
    price_cents_per_hour: z.number().min(0),
    specs: z.object({ vcpus: z.number(), memory_gib: z.number(), gpus: z.number() }),
  }),
  regions_with_capacity_available: z.array(z.object({ name: z.string() })),
});
export type InstanceType = z.infer<typeof instanceTypeSchema>;

export const fileSystemSchema = z.object({
  name: z.string(),
  mount_point: z.string(),
  region: z.object({ name: z.string() }),
});
export type FileSystem = z.infer<typeof fileSystemSchema>;

export const sshKeySchema = z.object({ name: z.string() });

export const launchedSchema = z.object({ instance_ids: z.array(z.string()).min(1) });

export const imageSchema = z.object({
  id: z.string(),
  family: z.string().nullish(),
  region: z.object({ name: z.string() }),
});

export const firewallRulesetSchema = z.object({
  id: z.string(),
  region: z.object({ name: z.string() }).nullish(),
});

/** Machines that are there, or still cost money. */
export function isGone({ status }: Instance): boolean {
  return status === "terminated" || status === "preempted";
}
