/** Lambda's API as far as the driver needs it: ten routes. Paths and fields are of its OpenAPI document, version 1.6.0, and what its users tell of 1.10. */
import { z } from "zod";
import type { BaseCtx } from "../../base/ctx.ts";
import type { LambdaClient } from "./client.ts";
import { isNotFound, noAnswer } from "./refusal.ts";
import {
  type FileSystem,
  fileSystemSchema,
  firewallRulesetSchema,
  type Instance,
  type InstanceType,
  imageSchema,
  instanceSchema,
  instanceTypeSchema,
  launchedSchema,
  sshKeySchema,
} from "./seen.ts";

export interface LaunchOrder {
  readonly region_name: string;
  readonly instance_type_name: string;
  /** Exactly one, says the API. */
  readonly ssh_key_names: readonly [string];
  readonly name: string;
  readonly user_data: string;
  readonly file_system_names?: readonly string[];
  readonly image?: { readonly id: string } | { readonly family: string };
  readonly firewall_rulesets?: readonly { readonly id: string }[];
}

export interface LambdaApi {
  instanceTypes(ctx: BaseCtx): Promise<readonly InstanceType[]>;
  instances(ctx: BaseCtx): Promise<readonly Instance[]>;
  /** Sent once: after an unclear answer the caller looks whether it is there. */
  launch(ctx: BaseCtx, order: LaunchOrder): Promise<string>;
  rename(ctx: BaseCtx, id: string, name: string): Promise<void>;
  /** One that is gone already is no error. */
  terminate(ctx: BaseCtx, id: string): Promise<void>;
  fileSystems(ctx: BaseCtx): Promise<readonly FileSystem[]>;
  sshKeys(ctx: BaseCtx): Promise<readonly string[]>;
  addSshKey(ctx: BaseCtx, name: string, publicKey: string): Promise<void>;
  images(ctx: BaseCtx): Promise<readonly z.infer<typeof imageSchema>[]>;
  firewallRulesets(ctx: BaseCtx): Promise<readonly z.infer<typeof firewallRulesetSchema>[]>;
}

const page = { instances: z.array(instanceSchema), types: z.record(z.string(), instanceTypeSchema) };

export function lambdaApi(client: LambdaClient): LambdaApi {
  const read = async <T>(ctx: BaseCtx, path: string, schema: z.ZodType<T>): Promise<T> =>
    parsed(schema, await client.ask(ctx, path));
  return {
    instanceTypes: async (ctx) => Object.values(await read(ctx, "/instance-types", page.types)),
    instances: async (ctx) => parsed(page.instances, await client.list(ctx, "/instances")),
    async launch(ctx, body) {
      const data = await client.ask(ctx, "/instance-operations/launch", {
        method: "POST",
        body,
        repeatable: false,
      });
      const [id = ""] = parsed(launchedSchema, data).instance_ids;
      return id;
    },
    async rename(ctx, id, name) {
      await client.ask(ctx, `/instances/${encodeURIComponent(id)}`, { method: "POST", body: { name } });
    },
    async terminate(ctx, id) {
      const body = { instance_ids: [id] };
      await client
        .ask(ctx, "/instance-operations/terminate", { method: "POST", body })
        .catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
    },
    fileSystems: (ctx) => read(ctx, "/file-systems", z.array(fileSystemSchema)),
    sshKeys: async (ctx) => (await read(ctx, "/ssh-keys", z.array(sshKeySchema))).map((key) => key.name),
    async addSshKey(ctx, name, publicKey) {
      await client.ask(ctx, "/ssh-keys", { method: "POST", body: { name, public_key: publicKey } });
    },
    images: (ctx) => read(ctx, "/images", z.array(imageSchema)),
    firewallRulesets: (ctx) => read(ctx, "/firewall-rulesets", z.array(firewallRulesetSchema)),
  };
}

/** An answer of another shape is no answer: after it, nobody knows what is. */
function parsed<T>(schema: z.ZodType<T>, data: unknown): T {
  const { data: value, error } = schema.safeParse(data);
  if (error) throw noAnswer(error);
  return value as T;
}
