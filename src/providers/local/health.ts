import { get } from "node:http";
import type { BaseCtx } from "../../base/ctx.ts";

const HEALTH_MS = 2_000;

/** The status of GET /health, which also claims the engine; undefined when it does not answer in time. */
export function askHealth(
  ctx: BaseCtx,
  engine: { readonly host: string; readonly port: number; readonly engineKey: string },
): Promise<number | undefined> {
  const timeout = AbortSignal.timeout(HEALTH_MS);
  return new Promise((resolve) => {
    const request = get(
      {
        host: engine.host,
        port: engine.port,
        path: "/health",
        agent: false,
        headers: { authorization: `Bearer ${engine.engineKey}` },
        signal: ctx.signal ? AbortSignal.any([ctx.signal, timeout]) : timeout,
      },
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    );
    request.on("error", () => resolve(undefined));
  });
}
