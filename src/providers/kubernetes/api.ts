/** The driver's view of one cluster: paths by discovered version, apply, lists, deletes. Replies are parsed here, once. */
import { z } from "zod";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { KubeClient } from "./client.ts";
import type { KubeObject } from "./manifests.ts";
import { isNotFound } from "./refusal.ts";
import { type Change, changesOf, watchOf } from "./watch.ts";

const FIELD_MANAGER = "slipway";
/** Objects of a page, and pages of a list: more replicas than a cluster has. */
const PAGE_SIZE = 500;
const PAGES_MAX = 200;
/** A list whose pages went stale while it was read (410) is begun again. */
const LIST_TRIES_MAX = 3;
/** Clusters are upgraded under us; a new version is found within this. */
const DISCOVERY_MS = 10 * 60_000;
const META_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const ONE_META_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

const groupsSchema = z.object({
  groups: z.array(z.object({ name: z.string(), preferredVersion: z.object({ version: z.string() }) })),
});
const pageSchema = z.object({
  metadata: z
    .object({ continue: z.string().optional(), resourceVersion: z.string().default("") })
    .prefault({}),
  // An empty list of metadata alone comes as null.
  items: z
    .array(z.unknown())
    .nullable()
    .transform((items) => items ?? []),
});

export interface KubeApi {
  readonly region: string;
  /** Creates the object or brings its fields to what they are here; the fields of others stay. Returns what is there now. */
  apply(ctx: BaseCtx, object: KubeObject): Promise<unknown>;
  /** Metadata alone, so that the contents of Secrets don't travel. Undefined: not there. */
  meta(ctx: BaseCtx, group: string, resource: string, name: string): Promise<unknown>;
  get(ctx: BaseCtx, group: string, resource: string, name: string): Promise<unknown>;
  list<T>(ctx: BaseCtx, what: ListOf<T>): Promise<readonly T[]>;
  /** The same with the version that it shows, from which a watch goes on. */
  listAt<T>(ctx: BaseCtx, what: ListOf<T>): Promise<Listed<T>>;
  /** What changes after a version, as it changes; ends when the server ends it, or throws ABORTED for a version that is too old. */
  watch<T>(ctx: BaseCtx, what: ListOf<T>, version: string): Promise<AsyncIterable<Change<T>>>;
  annotate(ctx: BaseCtx, resource: string, name: string, annotations: Record<string, string>): Promise<void>;
  /** What is gone already is no error. */
  remove(ctx: BaseCtx, group: string, resource: string, name: string, graceSeconds?: number): Promise<void>;
  /** True when the cluster has the group: an extension may be missing. */
  has(ctx: BaseCtx, group: string): Promise<boolean>;
  log(ctx: BaseCtx, pod: string, query: Readonly<Record<string, string>>): Promise<AsyncIterable<Buffer>>;
  /** Whether we may do it. */
  allowed(ctx: BaseCtx, attributes: Readonly<Record<string, string>>): Promise<boolean>;
}

export interface Listed<T> {
  readonly items: readonly T[];
  readonly version: string;
}

export type { Change } from "./watch.ts";

export interface ListOf<T> {
  readonly group: string;
  readonly resource: string;
  readonly schema: z.ZodType<T>;
  readonly selector?: string;
  readonly fields?: string;
  readonly metaOnly?: boolean;
  /** Of the whole cluster rather than of the namespace. */
  readonly everywhere?: boolean;
}

export function kubeApi(client: KubeClient, region: string, namespace: string): KubeApi {
  const versions = discovery(client);
  const at = async (ctx: BaseCtx, group: string, resource: string, everywhere = false) => {
    const root = group === "" ? "/api/v1" : `/apis/${group}/${await versionOf(ctx, group)}`;
    return everywhere ? `${root}/${resource}` : `${root}/namespaces/${namespace}/${resource}`;
  };
  const versionOf = async (ctx: BaseCtx, group: string): Promise<string> => {
    const version = (await versions(ctx)).get(group);
    if (version !== undefined) return version;
    throw new StatusError({
      code: "FAILED_PRECONDITION",
      reason: "CONFIG_INVALID",
      message: `The cluster of region ${region} lacks ${group}. Install it there, or ask for no more GPUs than one node has.`,
    });
  };
  return {
    region,
    async apply(ctx, object) {
      const { group, resource, kind, body } = object;
      const apiVersion = group === "" ? "v1" : `${group}/${await versionOf(ctx, group)}`;
      return client.ask(ctx, `${await at(ctx, group, resource)}/${body.metadata.name}`, {
        method: "PATCH",
        // Whoever changed a field of ours by hand gets it back.
        query: { fieldManager: FIELD_MANAGER, force: "true" },
        body: { apiVersion, kind, ...body },
        contentType: "application/apply-patch+yaml",
      });
    },
    meta: async (ctx, group, resource, name) =>
      orAbsent(client.ask(ctx, `${await at(ctx, group, resource)}/${name}`, { accept: ONE_META_ONLY })),
    get: async (ctx, group, resource, name) =>
      orAbsent(client.ask(ctx, `${await at(ctx, group, resource)}/${name}`)),
    async list(ctx, what) {
      const path = await at(ctx, what.group, what.resource, what.everywhere);
      return (await listAll(client, ctx, path, what)).items;
    },
    async listAt(ctx, what) {
      return listAll(client, ctx, await at(ctx, what.group, what.resource, what.everywhere), what);
    },
    async watch(ctx, what, version) {
      const path = await at(ctx, what.group, what.resource, what.everywhere);
      return changesOf(region, what.schema, await client.stream(ctx, path, watchOf(what, version)));
    },
    async annotate(ctx, resource, name, annotations) {
      await client.ask(ctx, `${await at(ctx, "", resource)}/${name}`, {
        method: "PATCH",
        body: { metadata: { annotations } },
        contentType: "application/merge-patch+json",
      });
    },
    async remove(ctx, group, resource, name, graceSeconds) {
      const body = {
        apiVersion: "v1",
        kind: "DeleteOptions",
        propagationPolicy: "Background",
        ...(graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds }),
      };
      const path = `${await at(ctx, group, resource)}/${name}`;
      await orAbsent(client.ask(ctx, path, { method: "DELETE", body }));
    },
    has: async (ctx, group) => (await versions(ctx)).has(group),
    log: async (ctx, pod, query) => client.stream(ctx, `${await at(ctx, "", "pods")}/${pod}/log`, { query }),
    async allowed(ctx, attributes) {
      const answer = await client.ask(ctx, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {
        method: "POST",
        body: {
          apiVersion: "authorization.k8s.io/v1",
          kind: "SelfSubjectAccessReview",
          spec: { resourceAttributes: attributes },
        },
      });
      return reviewSchema.parse(answer).status.allowed;
    },
  };
}

const reviewSchema = z.object({ status: z.object({ allowed: z.boolean() }) });

/** The version of each group that the cluster prefers. */
function discovery(client: KubeClient): (ctx: BaseCtx) => Promise<ReadonlyMap<string, string>> {
  let known: { readonly untilMs: number; readonly versions: ReadonlyMap<string, string> } | undefined;
  return async (ctx) => {
    if (known && known.untilMs > ctx.clock.monotonicMs()) return known.versions;
    const { groups } = groupsSchema.parse(await client.ask(ctx, "/apis"));
    const versions = new Map(groups.map((one) => [one.name, one.preferredVersion.version]));
    known = { untilMs: ctx.clock.monotonicMs() + DISCOVERY_MS, versions };
    return versions;
  };
}

async function listAll<T>(
  client: KubeClient,
  ctx: BaseCtx,
  path: string,
  what: ListOf<T>,
): Promise<Listed<T>> {
  for (let tries = 1; ; tries++) {
    try {
      return await listPages(client, ctx, path, what);
    } catch (error) {
      if (!(error instanceof StatusError) || error.code !== "ABORTED" || tries >= LIST_TRIES_MAX) throw error;
    }
  }
}

async function listPages<T>(
  client: KubeClient,
  ctx: BaseCtx,
  path: string,
  what: ListOf<T>,
): Promise<Listed<T>> {
  const items: T[] = [];
  let next = "";
  for (let page = 0; page < PAGES_MAX; page++) {
    const query = {
      limit: String(PAGE_SIZE),
      ...(what.selector === undefined ? {} : { labelSelector: what.selector }),
      ...(what.fields === undefined ? {} : { fieldSelector: what.fields }),
      ...(next === "" ? {} : { continue: next }),
    };
    const accept = what.metaOnly ? { accept: META_ONLY } : {};
    const answer = pageSchema.parse(await client.ask(ctx, path, { query, ...accept }));
    items.push(...answer.items.map((item) => what.schema.parse(item)));
    next = answer.metadata.continue ?? "";
    // All pages of a list show the same moment.
    if (next === "") return { items, version: answer.metadata.resourceVersion };
  }
  // Half a list taken for a whole one would make living replicas absent.
  throw new StatusError({
    code: "UNAVAILABLE",
    reason: "PLACE_UNAVAILABLE",
    message: "The cluster has more objects than are read.",
  });
}

async function orAbsent(call: Promise<unknown>): Promise<unknown> {
  return call.catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
}
