import type { IncomingMessage, ServerResponse } from "node:http";
import { errors } from "oidc-provider";
import { HTTP_STATUS, StatusError } from "../base/status.ts";
import { takeLoginBeginning } from "../identity/index.ts";
import { answerInteraction, type Step, showInteraction } from "./interactions.ts";
import { PAGE_HEADERS } from "./pages/layout.ts";
import { errorPage } from "./pages/protocol-pages.ts";
import { answerPasswordPage, showPasswordPage } from "./password-page.ts";
import { sendPage, type Web } from "./web.ts";
import { MOUNTED_AT } from "./where.ts";

/** Requests after which we have to remember something, sent by anybody; and guesses of device codes. */
const BEGINNINGS: ReadonlySet<string> = new Set([
  "GET /auth",
  "POST /auth",
  "POST /device/auth",
  "POST /device",
]);

/** Answers one request below MOUNTED_AT. `address` is the caller's, as the edge knows it. */
export async function handle(
  web: Web,
  request: IncomingMessage,
  response: ServerResponse,
  address: string,
): Promise<void> {
  for (const [name, value] of Object.entries(PAGE_HEADERS)) response.setHeader(name, value);
  const step: Step = { request, response, address };
  const path = prepared(web, step);
  try {
    const own = ownPage(web, step, path);
    if (own) return await own();
    if (BEGINNINGS.has(`${request.method} ${path}`)) await takeLoginBeginning(web.ctx, address);
    await web.answer(request, response);
  } catch (error) {
    if (!response.headersSent) return tell(web, response, error);
    web.ctx.log.error({ err: error }, "a login page broke off");
    response.destroy();
  }
}

/** Takes the prefix off, and says where we are reached instead of believing the request. Returns the path below the prefix. */
function prepared({ publicUrl }: Web, { request, address }: Step): string {
  const url = request.url ?? "/";
  const below = url.startsWith(MOUNTED_AT) ? url.slice(MOUNTED_AT.length) : "/";
  const { protocol, host } = new URL(publicUrl);
  Object.assign(request, { originalUrl: url, url: below.startsWith("/") ? below : `/${below}` });
  request.headers["x-forwarded-proto"] = protocol.slice(0, -1);
  request.headers["x-forwarded-host"] = host;
  request.headers["x-forwarded-for"] = address;
  return request.url?.split("?", 1)[0] ?? "/";
}

function ownPage(web: Web, step: Step, path: string): (() => Promise<void>) | undefined {
  const { method } = step.request;
  if (path === "/password") {
    if (method === "GET") return async () => showPasswordPage(step);
    if (method === "POST") return () => answerPasswordPage(web, step);
  }
  const [, action] = /^\/interaction\/[\w-]+(?:\/(login|consent|abort))?$/.exec(path) ?? [];
  if (path.startsWith("/interaction/")) {
    if (method === "GET" && action === undefined) return () => showInteraction(web, step);
    if (method === "POST" && action !== undefined) return () => answerInteraction(web, step, action);
  }
  return undefined;
}

function tell({ ctx }: Web, response: ServerResponse, error: unknown): void {
  const told = error instanceof errors.SessionNotFound ? loginLost() : StatusError.from(error);
  if (told.reason === "INTERNAL") ctx.log.error({ err: error }, "a login page failed");
  if (told.retryAfterMs !== undefined)
    response.setHeader("retry-after", Math.ceil(told.retryAfterMs / 1_000));
  sendPage(response, HTTP_STATUS[told.code], errorPage(told.reason, told.message));
}

function loginLost(): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "LOGIN_FAILED",
    message: "This login has expired, or began in another browser.",
  });
}
