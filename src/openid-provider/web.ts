import type { ServerResponse } from "node:http";
import type Provider from "oidc-provider";
import type { SecretBox } from "../base/seal.ts";
import type { DbCtx } from "../db/db.ts";

/** What our pages work with. */
export interface Web {
  readonly ctx: DbCtx;
  readonly box: SecretBox;
  readonly provider: Provider;
  /** The library's own answers. */
  readonly answer: ReturnType<Provider["callback"]>;
  /** Where browsers reach us: an origin. */
  readonly publicUrl: string;
}

export function sendPage(response: ServerResponse, status: number, page: string): void {
  response.writeHead(status, { "content-type": "text/html; charset=utf-8" }).end(page);
}
