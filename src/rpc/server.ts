/** The control plane's edge: REST and Connect on one port, gRPC on another, all through the same interceptors. */
import type { DescMethod } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  createConnectRouter,
  createContextValues,
  createRouterTransport,
  type Interceptor,
} from "@connectrpc/connect";
import { fastifyConnectPlugin } from "@connectrpc/connect-fastify";
import type { FastifyInstance } from "fastify";
import type { BaseCtx } from "../base/ctx.ts";
import { access, checkAccess, type RequireUsers } from "./access.ts";
import { addressKey, requestIdKey } from "./context.ts";
import { type DeadlineLimits, deadline } from "./deadline.ts";
import { requestGate } from "./gate.ts";
import { GrpcServer } from "./grpc.ts";
import { closeKeptAlive, type HttpLimits, httpServer } from "./http-server.ts";
import { idempotent } from "./idempotent.ts";
import { addMounts, type Mount } from "./mounts.ts";
import { finishedCalls, observe } from "./observe.ts";
import { addPlainRoutes, type PlainRoutes } from "./plain-routes.ts";
import type { Authenticate, FinishedCall, Idempotency, NoteAudit, PaceCheck } from "./ports.ts";
import { restHandler } from "./rest.ts";
import { RouteTable } from "./route-table.ts";
import { audited } from "./trail.ts";
import { validation } from "./validate.ts";

export interface RpcLimits extends HttpLimits, DeadlineLimits {}

export const RPC_LIMITS: RpcLimits = {
  bodyMaxBytes: 1_048_576,
  requestTimeoutMs: 30_000,
  callTimeoutMs: 30_000,
  streamMaxMs: 3_600_000,
};

/** Longest wait of a close for calls that are under way. */
const CLOSE_MAX_MS = 10_000;

export interface RpcServerOptions extends PlainRoutes {
  readonly ctx: BaseCtx;
  /** Each adds one domain's services to the router. */
  readonly routes: readonly ((router: ConnectRouter) => void)[];
  readonly authenticate: Authenticate;
  /** Looks up users whom administrators name; without it nobody is. */
  readonly requireUsers?: RequireUsers;
  /** Without it an Idempotency-Key has no effect. */
  readonly idempotency?: Idempotency;
  /** Other protocols on the same port. */
  readonly mounts?: readonly Mount[];
  /** Limits how often a token and an address may call; without it they have no limit. */
  readonly pace?: PaceCheck;
  /** Takes refused calls, and what administrators do to other users, for the audit log. */
  readonly noteAudit?: NoteAudit;
  /** Reverse proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies?: readonly string[];
  readonly limits?: Partial<RpcLimits>;
  /** Hears of every finished call, for metrics. */
  readonly onCall?: (call: FinishedCall) => void;
}

export interface RpcListen {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Absent: no gRPC. */
  readonly grpcPort?: number;
}

export interface RpcServer {
  /** The Fastify instance: tests inject into it, main may add routes before listen. */
  readonly app: FastifyInstance;
  listen(at: RpcListen): Promise<{ readonly port: number; readonly grpcPort: number | undefined }>;
  /** Ends streams, lets unary calls finish, and closes. */
  close(): Promise<void>;
}

/** Sets up the edge. Throws where a method has no row in the access table. */
export function createRpcServer(options: RpcServerOptions): RpcServer {
  const { ctx } = options;
  const limits = { ...RPC_LIMITS, ...options.limits };
  const shutdown = new AbortController();
  const finished = finishedCalls(ctx, options.onCall ?? (() => undefined));
  const { authenticate, pace, trustedProxies, noteAudit = () => {} } = options;
  const gateDeps = { ctx, authenticate, pace, noteAudit, finished };
  const routes = (router: ConnectRouter) => {
    for (const add of options.routes) add(router);
  };
  const shared = {
    interceptors: interceptorsOf(options, limits, finished, shutdown.signal),
    requestGate: requestGate(gateDeps),
    readMaxBytes: limits.bodyMaxBytes,
    // Leniency would also drop an unknown enum name, and deploy something else than what was asked for.
    jsonOptions: { ignoreUnknownFields: false },
  };
  const methods = methodsOf(routes);
  checkAccess(methods);
  const app = httpServer(ctx, limits, { pace, trustedProxies });
  void app.register(fastifyConnectPlugin, {
    ...shared,
    routes,
    grpc: false,
    contextValues: ({ id, ip }) => createContextValues().set(requestIdKey, id).set(addressKey, ip),
  });
  addPlainRoutes(app, options);
  addMounts(app, options.mounts ?? []);
  const rest = restHandler({
    ...gateDeps,
    routes: new RouteTable(methods),
    transport: createRouterTransport(routes, { router: shared }),
  });
  app.all("/*", rest);
  app.setNotFoundHandler(rest);
  closeKeptAlive(app, shutdown.signal);
  const grpc = new GrpcServer({
    ...shared,
    routes,
    contextValues: ({ socket }) => createContextValues().set(addressKey, socket.remoteAddress ?? ""),
  });
  return served(app, grpc, shutdown);
}

function served(app: FastifyInstance, grpc: GrpcServer, shutdown: AbortController): RpcServer {
  return {
    app,
    async listen({ host, port, grpcPort }) {
      await app.listen({ host, port });
      const address = app.server.address();
      return {
        port: typeof address === "object" && address ? address.port : port,
        grpcPort: grpcPort === undefined ? undefined : await grpc.listen(host, grpcPort),
      };
    },
    async close() {
      shutdown.abort();
      // A client that opened a connection and sent nothing must not keep us; those with a call have this long to end it.
      const late = setTimeout(() => app.server.closeAllConnections(), CLOSE_MAX_MS);
      app.server.closeIdleConnections();
      await Promise.all([app.close(), grpc.close()]);
      clearTimeout(late);
    },
  };
}

/** Outermost first. */
function interceptorsOf(
  options: RpcServerOptions,
  limits: RpcLimits,
  finished: ReturnType<typeof finishedCalls>,
  shutdown: AbortSignal,
): Interceptor[] {
  return [
    observe(options.ctx, finished),
    ...(options.noteAudit ? [audited(options.noteAudit)] : []),
    validation,
    access(options.requireUsers),
    deadline(options.ctx.clock, limits, shutdown),
    ...(options.idempotency ? [idempotent(options.idempotency)] : []),
  ];
}

function methodsOf(routes: (router: ConnectRouter) => void): readonly DescMethod[] {
  const router = createConnectRouter();
  routes(router);
  return router.handlers.map(({ method }) => method);
}
