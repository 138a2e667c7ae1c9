import type { FastifyInstance } from "fastify";
import type { Health } from "./ports.ts";
import { sendError } from "./rest.ts";
import { wrongMethod } from "./route-table.ts";

export interface PlainRoutes {
  /** The text of gen/openapi.json. */
  readonly openApi: string;
  readonly version: string;
  readonly health: () => Health;
  /** Other public JSON documents, by path. */
  readonly documents?: Readonly<Record<string, () => Promise<unknown>>>;
}

/** What needs no token: whether we live, which version we are, and the contract. */
export function addPlainRoutes(
  app: FastifyInstance,
  { health, version, openApi, documents }: PlainRoutes,
): void {
  const answers: Record<
    string,
    () => { status: number; body: string } | Promise<{ status: number; body: string }>
  > = {
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
  for (const [path, document] of Object.entries(documents ?? {})) {
    answers[path] = async () => ({ status: 200, body: JSON.stringify(await document()) });
  }
  for (const [path, answer] of Object.entries(answers)) {
    app.all(path, async (request, reply) => {
      if (request.method !== "GET" && request.method !== "HEAD")
        return sendError(reply, wrongMethod(["GET", "HEAD"]));
      const { status, body } = await answer();
      return reply.code(status).type("application/json").send(body);
    });
  }
}
