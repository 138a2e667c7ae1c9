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
import Fastify, { type FastifyError, type FastifyInstance } from "fastify";
import type { BaseCtx } from "../base/ctx.ts";
import { invalidArgument, StatusError } from "../base/status.ts";
import { requestIdKey } from "./context.ts";
import { deadline } from "./deadline.ts";
import { REQUEST_ID_HEADER, requestGate, requestIdFrom } from "./gate.ts";
import { GrpcServer } from "./grpc.ts";
import { idempotent } from "./idempotent.ts";
import { finishedCalls, observe } from "./observe.ts";
import type { Authenticate, FinishedCall, Health, Idempotency } from "./ports.ts";
import { restHandler, sendError } from "./rest.ts";
import { RouteTable, wrongMethod } from "./route-table.ts";
import { validation } from "./validate.ts";

export interface RpcLimits {
  /** Largest request body; a deploy with a long modelSpec is a few KiB. */
  readonly bodyMaxBytes: number;
  /** Longest a client may take to send its request. */
  readonly requestTimeoutMs: number;
  /** Longest unary call; below the time after which an unanswered keyed call counts as dead. */
  readonly callTimeoutMs: number;
  /** Longest stream; its client comes again. */
  readonly streamMaxMs: number;
}

export const RPC_LIMITS: RpcLimits = {
  bodyMaxBytes: 1_048_576,
  requestTimeoutMs: 30_000,
  callTimeoutMs: 30_000,
  streamMaxMs: 3_600_000,
};

export interface RpcServerOptions {
  readonly ctx: BaseCtx;
  /** Each adds one domain's services to the router. */
  readonly routes: readonly ((router: ConnectRouter) => void)[];
  readonly authenticate: Authenticate;
  /** Without it an Idempotency-Key has no effect. */
  readonly idempotency?: Idempotency;
  /** The text of gen/openapi.json. */
  readonly openApi: string;
  readonly version: string;
  readonly health: () => Health;
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

export function createRpcServer(options: RpcServerOptions): RpcServer {
  const { ctx } = options;
  const limits = { ...RPC_LIMITS, ...options.limits };
  const shutdown = new AbortController();
  const finished = finishedCalls(ctx, options.onCall ?? (() => undefined));
  const gateDeps = { ctx, authenticate: options.authenticate, finished };
  const routes = (router: ConnectRouter) => {
    for (const add of options.routes) add(router);
  };
  const shared = {
    interceptors: interceptorsOf(options, limits, finished, shutdown.signal),
    requestGate: requestGate(gateDeps),
    readMaxBytes: limits.bodyMaxBytes,
  };
  const app = fastify(ctx, limits);
  void app.register(fastifyConnectPlugin, {
    ...shared,
    routes,
    grpc: false,
    contextValues: (request) => createContextValues().set(requestIdKey, request.id),
  });
  addPlainRoutes(app, options);
  const rest = restHandler({
    ...gateDeps,
    routes: new RouteTable(methodsOf(routes)),
    transport: createRouterTransport(routes, { router: shared }),
  });
  app.all("/*", rest);
  app.setNotFoundHandler(rest);
  closeKeptAlive(app, shutdown.signal);
  const grpc = new GrpcServer({ ...shared, routes });
  return {
    app,
    async listen({ host, port, grpcPort }) {
      const address = new URL(await app.listen({ host, port }));
      return {
        port: Number(address.port),
        grpcPort: grpcPort === undefined ? undefined : await grpc.listen(host, grpcPort),
      };
    },
    async close() {
      shutdown.abort();
      await Promise.all([app.close(), grpc.close()]);
    },
  };
}

/** Once we close, a connection that has answered its last request is closed too, instead of being kept for the next one. */
function closeKeptAlive(app: FastifyInstance, shutdown: AbortSignal): void {
  app.server.on("request", (_request, response) => {
    response.once("close", () => {
      // The parser calls the connection idle only after this event.
      if (shutdown.aborted) setImmediate(() => app.server.closeIdleConnections());
    });
  });
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
    validation,
    deadline(options.ctx.clock, limits, shutdown),
    ...(options.idempotency ? [idempotent(options.idempotency)] : []),
  ];
}

function methodsOf(routes: (router: ConnectRouter) => void): readonly DescMethod[] {
  const router = createConnectRouter();
  routes(router);
  return router.handlers.map(({ method }) => method);
}

function fastify(ctx: BaseCtx, limits: RpcLimits): FastifyInstance {
  const app = Fastify({
    logger: false,
    bodyLimit: limits.bodyMaxBytes,
    requestTimeout: limits.requestTimeoutMs,
    forceCloseConnections: "idle",
    requestIdHeader: false,
    genReqId: (raw) => requestIdFrom(raw.headers[REQUEST_ID_HEADER]?.toString(), ctx),
    frameworkErrors: (error, request, reply) =>
      void sendError(reply.headers(commonHeaders(request.id)), frameworkError(error, limits)),
  });
  // Bodies stay bytes: the contract's reader parses them, and tells what is wrong without quoting it.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  app.addHook("onRequest", async (request, reply) => {
    reply.headers(commonHeaders(request.id));
  });
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const status = frameworkError(error, limits);
    if (status.reason === "INTERNAL") ctx.log.error({ err: error, requestId: request.id }, "request failed");
    return sendError(reply, status);
  });
  return app;
}

/** What every answer carries: answers hold keys and balances, so nobody may keep them. */
function commonHeaders(requestId: string): Record<string, string> {
  return {
    [REQUEST_ID_HEADER]: requestId,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  };
}

/** What Fastify itself refuses. */
function frameworkError(error: FastifyError, limits: RpcLimits): StatusError {
  const { code } = error;
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") {
    return new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "BODY_TOO_LARGE",
      message: `The body is larger than ${limits.bodyMaxBytes} bytes.`,
      metadata: { bodyMaxBytes: String(limits.bodyMaxBytes) },
    });
  }
  if (code === "FST_ERR_BAD_URL") {
    return invalidArgument([{ field: "path", description: "has a broken percent-encoding" }]);
  }
  if (code?.startsWith("FST_ERR_CTP_INVALID_MEDIA")) {
    return new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "UNSUPPORTED_CONTENT_TYPE",
      message: "The body must be JSON: send `Content-Type: application/json`.",
    });
  }
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "INVALID_FIELD",
      message: "The HTTP request is not well formed.",
      cause: error,
    });
  }
  return StatusError.from(error);
}

/** What needs no token: whether we live, which version we are, and the contract. */
function addPlainRoutes(app: FastifyInstance, { health, version, openApi }: RpcServerOptions): void {
  const answers: Readonly<Record<string, () => { status: number; body: string }>> = {
    "/healthz": () => {
      const { ok, facts } = health();
      return {
        status: ok ? 200 : 503,
        body: JSON.stringify({ status: ok ? "ok" : "unavailable", ...facts }),
      };
    },
    "/version": () => ({ status: 200, body: JSON.stringify({ version }) }),
    "/openapi.json": () => ({ status: 200, body: openApi }),
  };
  for (const [path, answer] of Object.entries(answers)) {
    app.all(path, async (request, reply) => {
      if (request.method !== "GET" && request.method !== "HEAD")
        return sendError(reply, wrongMethod(["GET", "HEAD"]));
      const { status, body } = answer();
      return reply.code(status).type("application/json").send(body);
    });
  }
}
