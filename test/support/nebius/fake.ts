/**
 * Nebius' API as far as the driver speaks it, over real gRPC: token exchange with checked signatures, node groups that boot, break
 * and go, operations, platforms and quotas. Written from the public protos (github.com/nebius/api).
 */
import { generateKeyPairSync, type KeyObject, randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { jwtVerify } from "jose";
import { OperationService, ServiceErrorSchema } from "../../../gen/nebius/common/v1/common_pb.js";
import { PlatformService } from "../../../gen/nebius/compute/v1/compute_pb.js";
import { TokenExchangeService } from "../../../gen/nebius/iam/v1/iam_pb.js";
import {
  ClusterService,
  ClusterStatus_State,
  NodeGroupService,
} from "../../../gen/nebius/mk8s/v1/mk8s_pb.js";
import { QuotaAllowanceService } from "../../../gen/nebius/quotas/v1/quotas_pb.js";
import { type NebiusConfig, nebiusSchema } from "../../../src/providers/nebius/config.ts";
import { type Cloud, type Machines, newCloud } from "./cloud.ts";

export interface FakeNebiusOptions {
  readonly machines?: Machines;
  readonly bootMs?: number;
  /** The Kubernetes API server of its one cluster. */
  readonly cluster?: { readonly endpoint: string; readonly ca: string };
  /** What the exchange hands out; absent: tokens of its own. */
  readonly token?: () => Promise<string>;
}

export interface FakeNebius {
  readonly config: NebiusConfig;
  readonly cloud: Cloud;
  /** Every call, in order: `Service/Method`, and its idempotency key. */
  readonly calls: { readonly method: string; readonly key: string }[];
  readonly quota: { limit: bigint; usage: bigint };
  /** Presets that the project's H100 platform has. */
  readonly presets: string[];
  /** Tokens that were handed out are refused from now on. */
  revokeTokens(): void;
  /** The service account's key is refused from now on. */
  revokeKey(): void;
  /** The key and its tokens are taken again. */
  restoreKey(): void;
  /** So many calls from now on are answered by 503. */
  unavailable(calls: number): void;
  /** Every call comes too often, or every list breaks off at its second page, until told otherwise. */
  readonly broken: { rate: boolean; lists: boolean };
  close(): Promise<void>;
}

export const FAKE_REGION = "eu-north1";
const CLUSTER = "mk8scluster-test";
const PROJECT = "project-test";
const ACCOUNT = { id: "serviceaccount-test", keyId: "publickey-test" };
/** As few as can be, so that every list has several pages. */
const PAGE = 1;
const NO_MACHINES: Machines = { start: async () => {}, end: async () => {} };

export async function startFakeNebius(options: FakeNebiusOptions = {}): Promise<FakeNebius> {
  const folder = await mkdtemp(join(tmpdir(), "slipway-nebius-"));
  const keys = generateKeyPairSync("rsa", { modulusLength: 2_048 });
  const credentials = await writeCredentials(folder, keys.privateKey);
  const cloud = newCloud(options.machines ?? NO_MACHINES, options.bootMs ?? 10);
  const calls: { method: string; key: string }[] = [];
  const tokens = new Set<string>();
  const quota = { limit: 16n, usage: 0n };
  const presets = ["1gpu-16vcpu-200gb", "8gpu-128vcpu-1600gb"];
  const broken = { rate: false, lists: false };
  let keyRevoked = false;
  let unavailable = 0;

  const enter = (context: HandlerContext) => {
    const method = `${context.service.typeName.split(".").at(-1)}/${context.method.name}`;
    calls.push({ method, key: context.requestHeader.get("x-idempotency-key") ?? "" });
    if (unavailable > 0) {
      unavailable--;
      throw new ConnectError("try later", Code.Unavailable);
    }
    if (broken.rate) {
      const value = create(ServiceErrorSchema, { details: { case: "tooManyRequests", value: {} } });
      throw new ConnectError("too many requests", Code.ResourceExhausted, undefined, [
        { desc: ServiceErrorSchema, value },
      ]);
    }
    const [, token = ""] = /^Bearer (.+)$/.exec(context.requestHeader.get("authorization") ?? "") ?? [];
    if (!tokens.has(token)) throw new ConnectError("unauthenticated", Code.Unauthenticated);
  };
  const leave = <T>(answer: T): T => {
    if (cloud.faults.loseReplies === 0) return answer;
    cloud.faults.loseReplies--;
    throw new ConnectError("connection lost", Code.Unavailable);
  };

  const routes = (router: ConnectRouter) => {
    router.service(TokenExchangeService, {
      async exchange({ subjectToken }, context) {
        calls.push({ method: `TokenExchangeService/${context.method.name}`, key: "" });
        await verify(subjectToken, keys.publicKey, keyRevoked);
        const accessToken = (await options.token?.()) ?? `iam-${randomUUID()}`;
        tokens.add(accessToken);
        return { accessToken, tokenType: "Bearer", expiresIn: 3_600n };
      },
    });
    router.service(ClusterService, {
      get({ id }, context) {
        enter(context);
        if (id !== CLUSTER) throw new ConnectError("no such cluster", Code.NotFound);
        const { endpoint = "", ca = "" } = options.cluster ?? {};
        return {
          metadata: { id, parentId: PROJECT },
          status: {
            state: ClusterStatus_State.RUNNING,
            controlPlane: {
              version: "1.33.1-nebius-cp.1",
              endpoints: { publicEndpoint: endpoint },
              auth: { clusterCaCertificate: ca },
            },
          },
        };
      },
    });
    router.service(NodeGroupService, {
      getByName({ name }, context) {
        enter(context);
        const found = cloud.byName(name);
        if (!found) throw new ConnectError("no such group", Code.NotFound);
        return found;
      },
      list({ pageToken }, context) {
        enter(context);
        const from = Number(pageToken || "0");
        if (broken.lists && from > 0) throw new ConnectError("try later", Code.Unavailable);
        const all = cloud.all();
        const next = from + PAGE < all.length ? String(from + PAGE) : "";
        return { items: all.slice(from, from + PAGE), nextPageToken: next };
      },
      create(request, context) {
        enter(context);
        return leave(cloud.create(request, keyOf(context)));
      },
      delete({ id }, context) {
        enter(context);
        return leave(cloud.remove(id, keyOf(context)));
      },
    });
    router.service(OperationService, {
      list({ resourceId }, context) {
        enter(context);
        return { operations: [...cloud.operationsOf(resourceId)] };
      },
    });
    router.service(PlatformService, {
      list(_, context) {
        enter(context);
        const spec = {
          presets: presets.map((name) => ({ name })),
          gpuCountQuotaType: "compute.instance.gpu.h100",
        };
        return {
          items: [
            { metadata: { name: "gpu-h100-sxm" }, spec },
            { metadata: { name: "cpu-d3" }, spec: {} },
          ],
        };
      },
    });
    router.service(QuotaAllowanceService, {
      getByName({ name, region }, context) {
        enter(context);
        return { metadata: { name }, spec: { region, limit: quota.limit }, status: { usage: quota.usage } };
      },
    });
  };

  const server = createServer(connectNodeAdapter({ routes }));
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const addresses = { mk8s: url, tokens: url, compute: url, quotas: url };
  return {
    config: nebiusSchema.parse({ credentials, clusterId: CLUSTER, gpus: { H100: {} }, addresses }),
    cloud,
    calls,
    quota,
    presets,
    broken,
    restoreKey() {
      keyRevoked = false;
    },
    revokeTokens: () => tokens.clear(),
    revokeKey() {
      keyRevoked = true;
      tokens.clear();
    },
    unavailable(count) {
      unavailable = count;
    },
    async close() {
      await cloud.close();
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true });
    },
  };
}

async function writeCredentials(folder: string, key: KeyObject): Promise<string> {
  const file = join(folder, "credentials.json");
  const credentials = {
    type: "JWT",
    alg: "RS256",
    "private-key": key.export({ type: "pkcs8", format: "pem" }),
    kid: ACCOUNT.keyId,
    iss: ACCOUNT.id,
    sub: ACCOUNT.id,
  };
  await writeFile(file, JSON.stringify({ "subject-credentials": credentials }), { mode: 0o600 });
  return file;
}

async function verify(jwt: string, key: KeyObject, revoked: boolean): Promise<void> {
  const options = { algorithms: ["RS256"], issuer: ACCOUNT.id, subject: ACCOUNT.id, maxTokenAge: "5m" };
  const found = await jwtVerify(jwt, key, options).catch(() => undefined);
  if (revoked || found?.protectedHeader.kid !== ACCOUNT.keyId) {
    throw new ConnectError("the assertion is not valid", Code.Unauthenticated);
  }
}

/** Long and random, as the API asks. */
function keyOf(context: HandlerContext): string {
  const key = context.requestHeader.get("x-idempotency-key") ?? "";
  if (!/^[A-Za-z0-9-]{32,}$/.test(key))
    throw new ConnectError("X-Idempotency-Key is no key", Code.InvalidArgument);
  return key;
}
