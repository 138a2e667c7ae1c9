/** The calls of Nebius' API that the driver makes, each with a deadline, retries and our errors. The only file that knows its wire. */
import { create, type DescService } from "@bufbuild/protobuf";
import { anyUnpack, timestampDate } from "@bufbuild/protobuf/wkt";
import { type CallOptions, type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import {
  type Operation,
  OperationService,
  type RecurrentResourceEvent,
  ResourceEvent_Level,
} from "../../../gen/nebius/common/v1/common_pb.js";
import { PlatformService } from "../../../gen/nebius/compute/v1/compute_pb.js";
import { TokenExchangeService } from "../../../gen/nebius/iam/v1/iam_pb.js";
import {
  ClusterService,
  ClusterStatus_State,
  DiskSpec_DiskType,
  NodeGroupService,
  NodeGroupSpecSchema,
  NodeGroupStatus_State,
  NodeTaint_Effect,
  ProgressDataSchema,
  type NodeGroup as WireGroup,
} from "../../../gen/nebius/mk8s/v1/mk8s_pb.js";
import { QuotaAllowanceService } from "../../../gen/nebius/quotas/v1/quotas_pb.js";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { NebiusConfig } from "./config.ts";
import type { NodeGroup, NodeGroupWish, Trouble } from "./node-group.ts";
import { idempotencyKey } from "./node-group.ts";
import { endedWith, refusal, troubleOf } from "./rpc-refusal.ts";
import { assertion, readServiceAccount } from "./service-account.ts";
import { tokenSource } from "./token.ts";

export interface Cluster {
  readonly projectId: string;
  readonly running: boolean;
  readonly version: string;
  readonly publicEndpoint: string;
  readonly privateEndpoint: string;
  readonly ca: string;
}

export interface Platform {
  readonly name: string;
  readonly presets: readonly string[];
  /** Name of the quota of its GPUs; "" where none is said. */
  readonly quota: string;
}

export interface Quota {
  /** Undefined: not bounded by this quota. */
  readonly limit: number | undefined;
  readonly used: number;
}

export interface NebiusApi {
  token(ctx: BaseCtx): Promise<string>;
  cluster(ctx: BaseCtx): Promise<Cluster>;
  group(ctx: BaseCtx, name: string): Promise<NodeGroup | undefined>;
  groups(ctx: BaseCtx): Promise<readonly NodeGroup[]>;
  /** Asks for a group; that it was accepted says nothing of nodes. Throws CAPACITY_SHORT where it is refused for want of them. */
  create(ctx: BaseCtx, wish: NodeGroupWish): Promise<void>;
  /** What is gone already is no error. */
  remove(ctx: BaseCtx, group: Pick<NodeGroup, "id">): Promise<void>;
  /** What the cloud says against a group that is being made. */
  problems(ctx: BaseCtx, groupId: string): Promise<readonly Trouble[]>;
  platforms(ctx: BaseCtx, projectId: string): Promise<readonly Platform[]>;
  quota(ctx: BaseCtx, projectId: string, name: string): Promise<Quota>;
  close(): void;
}

/** One call, as the cloud's own client has it for one try. */
const CALL_MS = 20_000;
const TRIES_MAX = 3;
const RETRY_FIRST_MS = 250;
const PAGE_SIZE = 500n;
/** A cluster has fewer groups than so many pages; half a list taken for a whole one would make machines absent. */
const PAGES_MAX = 50;

export function nebiusApi(region: string, config: NebiusConfig): NebiusApi {
  const sessions: Http2SessionManager[] = [];
  const client = <T extends DescService>(service: T, baseUrl: string): Client<T> => {
    const sessionManager = new Http2SessionManager(baseUrl);
    sessions.push(sessionManager);
    return createClient(service, createGrpcTransport({ baseUrl, sessionManager }));
  };
  const { mk8s, tokens, compute, quotas } = config.addresses;
  const exchange = client(TokenExchangeService, tokens);
  const clusters = client(ClusterService, mk8s);
  const nodeGroups = client(NodeGroupService, mk8s);
  const operations = client(OperationService, mk8s);
  const platforms = client(PlatformService, compute);
  const allowances = client(QuotaAllowanceService, quotas);

  const source = tokenSource(async (ctx) => {
    const jwt = await assertion(ctx.clock, await readServiceAccount(config.credentials));
    const answer = await retrying(ctx, region, (options) =>
      exchange.exchange({ ...GRANT, subjectToken: jwt }, options),
    );
    return { token: answer.accessToken, livesMs: Number(answer.expiresIn) * 1_000 };
  });

  /** With a token, and once more with another where that one is refused: it may have been revoked within its life. */
  const ask = async <T>(ctx: BaseCtx, call: (options: CallOptions) => Promise<T>, key = ""): Promise<T> => {
    const once = async () => {
      const token = await source.token(ctx);
      const headers = {
        authorization: `Bearer ${token}`,
        ...(key === "" ? {} : { "x-idempotency-key": key }),
      };
      return retrying(ctx, region, (options) => call({ ...options, headers })).catch((error: unknown) => {
        if (isCode(error, "UNAUTHENTICATED")) source.forget(token);
        throw error;
      });
    };
    return once().catch((error: unknown) => {
      if (isCode(error, "UNAUTHENTICATED")) return once();
      throw error;
    });
  };

  const { clusterId: parentId } = config;
  return {
    token: (ctx) => source.token(ctx),
    async cluster(ctx) {
      const found = await ask(ctx, (options) => clusters.get({ id: parentId }, options));
      const control = found.status?.controlPlane;
      return {
        projectId: found.metadata?.parentId ?? "",
        running: found.status?.state === ClusterStatus_State.RUNNING,
        version: control?.version ?? "",
        publicEndpoint: control?.endpoints?.publicEndpoint ?? "",
        privateEndpoint: control?.endpoints?.privateEndpoint ?? "",
        ca: control?.auth?.clusterCaCertificate ?? "",
      };
    },
    async group(ctx, name) {
      const found = ask(ctx, (options) => nodeGroups.getByName({ parentId, name }, options));
      return found.then(groupOf, (error: unknown) => {
        if (isCode(error, "NOT_FOUND")) return undefined;
        throw error;
      });
    },
    groups: (ctx) =>
      pages(region, async (pageToken) => {
        const request = { parentId, pageSize: PAGE_SIZE, pageToken };
        const { items, nextPageToken } = await ask(ctx, (options) => nodeGroups.list(request, options));
        return { items: items.map(groupOf), next: nextPageToken };
      }),
    async create(ctx, wish) {
      const metadata = { parentId, name: wish.name, labels: { ...wish.labels } };
      const key = idempotencyKey("create", wish.name);
      const request = { metadata, spec: specOf(wish) };
      const begun = ask(ctx, (options) => nodeGroups.create(request, options), key);
      const operation = await begun.catch((error: unknown) => {
        // Another worker, or a call of ours whose answer was lost.
        if (isCode(error, "ALREADY_EXISTS")) return undefined;
        throw error;
      });
      if (operation?.status && operation.status.code !== 0) throw endedWith(region, operation.status);
    },
    async remove(ctx, { id }) {
      const key = idempotencyKey("delete", id);
      await ask(ctx, (options) => nodeGroups.delete({ id }, options), key).catch((error: unknown) => {
        if (!isCode(error, "NOT_FOUND")) throw error;
      });
    },
    async problems(ctx, resourceId) {
      const found = await pages(region, async (pageToken) => {
        const request = { resourceId, pageSize: PAGE_SIZE, pageToken };
        const answer = await ask(ctx, (options) => operations.list(request, options));
        return { items: answer.operations, next: answer.nextPageToken };
      });
      return found.flatMap(problemsOf);
    },
    platforms: (ctx, projectId) =>
      pages(region, async (pageToken) => {
        const request = { parentId: projectId, pageSize: PAGE_SIZE, pageToken };
        const { items, nextPageToken } = await ask(ctx, (options) => platforms.list(request, options));
        return { items: items.map(platformOf), next: nextPageToken };
      }),
    async quota(ctx, projectId, name) {
      const request = { parentId: projectId, name, region };
      const { spec, status } = await ask(ctx, (options) => allowances.getByName(request, options));
      return {
        limit: spec?.limit === undefined ? undefined : Number(spec.limit),
        used: Number(status?.usage ?? 0n),
      };
    },
    close() {
      for (const session of sessions) session.abort();
    },
  };
}

const GRANT = {
  grantType: "urn:ietf:params:oauth:grant-type:token-exchange",
  requestedTokenType: "urn:ietf:params:oauth:token-type:access_token",
  subjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
};

function isCode(error: unknown, code: StatusError["code"]): boolean {
  return error instanceof StatusError && error.code === code;
}

/** Reads may be repeated, and writes carry a key by which a repeated one is known. What lacks is never asked for twice: it is an answer. */
async function retrying<T>(
  ctx: BaseCtx,
  region: string,
  call: (options: CallOptions) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call({ timeoutMs: CALL_MS, ...(ctx.signal ? { signal: ctx.signal } : {}) });
    } catch (thrown) {
      if (ctx.signal?.aborted) throw thrown;
      const error = refusal(region, thrown);
      if (error.code !== "UNAVAILABLE" || tries >= TRIES_MAX) throw error;
      await ctx.clock.sleep(RETRY_FIRST_MS * 2 ** (tries - 1), ctx.signal);
    }
  }
}

async function pages<T>(
  region: string,
  page: (token: string) => Promise<{ readonly items: readonly T[]; readonly next: string }>,
): Promise<readonly T[]> {
  const all: T[] = [];
  let token = "";
  for (let count = 0; count < PAGES_MAX; count++) {
    const { items, next } = await page(token);
    all.push(...items);
    if (next === "") return all;
    token = next;
  }
  throw new StatusError({
    code: "UNAVAILABLE",
    reason: "PLACE_UNAVAILABLE",
    message: `Nebius has more in region ${region} than is read.`,
  });
}

function specOf(wish: NodeGroupWish) {
  const none = { value: { case: "count" as const, value: 0n } };
  const one = { value: { case: "count" as const, value: 1n } };
  return create(NodeGroupSpecSchema, {
    size: { case: "fixedNodeCount", value: BigInt(wish.nodeCount) },
    template: {
      metadata: { labels: { ...wish.nodeLabels } },
      taints: [{ ...wish.taint, effect: NodeTaint_Effect.NO_SCHEDULE }],
      resources: { platform: wish.platform, size: { case: "preset", value: wish.preset } },
      bootDisk: {
        size: { case: "sizeGibibytes", value: BigInt(wish.diskGib) },
        type: DiskSpec_DiskType.NETWORK_SSD,
      },
      ...(wish.driversPreset === "" ? {} : { gpuSettings: { driversPreset: wish.driversPreset } }),
      ...(wish.preemptible ? { preemptible: {} } : {}),
      os: wish.os,
    },
    // Never a second machine beside a replica's own; and a node whose pods won't go must not stay, and cost, for ever.
    strategy: { maxSurge: none, maxUnavailable: one, drainTimeout: { seconds: BigInt(wish.drainSeconds) } },
  });
}

function groupOf({ metadata, status }: WireGroup): NodeGroup {
  return {
    id: metadata?.id ?? "",
    name: metadata?.name ?? "",
    labels: metadata?.labels ?? {},
    createdAt: metadata?.createdAt ? timestampDate(metadata.createdAt) : new Date(0),
    going: status?.state === NodeGroupStatus_State.DELETING,
    wantedNodes: Number(status?.targetNodeCount ?? 0n),
    nodes: Number(status?.nodeCount ?? 0n),
    readyNodes: Number(status?.readyNodeCount ?? 0n),
    troubles: (status?.events ?? []).flatMap(eventTrouble),
  };
}

function eventTrouble({ lastOccurrence: last }: RecurrentResourceEvent): readonly Trouble[] {
  const isTrouble = last?.level === ResourceEvent_Level.ERROR || last?.level === ResourceEvent_Level.WARN;
  return last && isTrouble ? [troubleOf(last.message, last.error)] : [];
}

function problemsOf({ progressData, status }: Operation): readonly Trouble[] {
  if (status && status.code !== 0) return [troubleOf(status.message, status)];
  const progress = progressData && anyUnpack(progressData, ProgressDataSchema);
  return (progress?.problems ?? []).map(({ stage, message }) => troubleOf(`${stage}: ${message}`, undefined));
}

function platformOf({
  metadata,
  spec,
}: {
  metadata?: { name: string } | undefined;
  spec?: { presets: readonly { name: string }[]; gpuCountQuotaType: string } | undefined;
}): Platform {
  return {
    name: metadata?.name ?? "",
    presets: (spec?.presets ?? []).map((one) => one.name),
    quota: spec?.gpuCountQuotaType ?? "",
  };
}
