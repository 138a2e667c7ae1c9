/** The calls of Nebius' API that the driver makes, in its own words. */
import type { DescService } from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { OperationService } from "../../../gen/nebius/common/v1/common_pb.js";
import { PlatformService } from "../../../gen/nebius/compute/v1/compute_pb.js";
import { TokenExchangeService } from "../../../gen/nebius/iam/v1/iam_pb.js";
import { ClusterService, NodeGroupService } from "../../../gen/nebius/mk8s/v1/mk8s_pb.js";
import { QuotaAllowanceService } from "../../../gen/nebius/quotas/v1/quotas_pb.js";
import type { BaseCtx } from "../../base/ctx.ts";
import type { NebiusConfig } from "./config.ts";
import {
  type Cluster,
  clusterOf,
  groupOf,
  type Platform,
  platformOf,
  problemsOf,
  specOf,
} from "./convert.ts";
import { idempotencyKey, type NodeGroup, type NodeGroupWish, type Trouble } from "./node-group.ts";
import { isCode, pages, retrying } from "./rpc-calls.ts";
import { endedWith } from "./rpc-refusal.ts";
import { assertion, readServiceAccount } from "./service-account.ts";
import { tokenSource } from "./token.ts";

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

const PAGE_SIZE = 500n;

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
      return clusterOf(await ask(ctx, (options) => clusters.get({ id: parentId }, options)));
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
