import type { FastifyInstance } from "fastify";
import { addDocsPage } from "./docs-page.ts";
import { onlyReads } from "./only-reads.ts";
import type { Health } from "./ports.ts";

export interface PlainRoutes {
  /** The text of gen/openapi.json. */
  readonly openApi: string;
  readonly version: string;
  /** The script that shows the contract at /docs; without it there is no such page. */
  readonly docsViewer?: Buffer;
  readonly health: () => Health;
  /** Other public JSON documents, by path. */
  readonly documents?: Readonly<Record<string, () => Promise<unknown>>>;
}

/** What needs no token: whether we live, which version we are, the contract and the page that shows it. */
export function addPlainRoutes(
  app: FastifyInstance,
  { health, version, openApi, documents, docsViewer }: PlainRoutes,
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
    onlyReads(app, path, async (reply) => {
      const { status, body } = await answer();
      return reply.code(status).type("application/json").send(body);
    });
  }
  if (docsViewer) addDocsPage(app, docsViewer);
}
