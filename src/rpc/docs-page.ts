/** The API reference at /docs: one page and the viewer's script, all from our own origin. */
import type { FastifyInstance } from "fastify";
import { sha256 } from "../base/id.ts";
import { onlyReads } from "./only-reads.ts";

const HASH_LENGTH = 16;

/**
 * Nothing from elsewhere, nothing inline but styles, which the viewer writes on its own elements. The page asks for the contract
 * and sends what its reader tries out, to this origin alone; nobody may frame it, since a token may be typed into it.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const page = (script: string) => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="referrer" content="no-referrer">
    <title>Slipway API reference</title>
    <link rel="icon" href="data:,">
    <style>
      body { margin: 0; }
      openapi-explorer { --font-regular: system-ui, sans-serif; --font-mono: ui-monospace, monospace; }
    </style>
    <script type="module" src="${script}"></script>
  </head>
  <body>
    <openapi-explorer spec-url="/openapi.json" collapse hide-server-selection>
      <noscript>This page needs JavaScript. The contract is at <a href="/openapi.json">/openapi.json</a>.</noscript>
    </openapi-explorer>
  </body>
</html>
`;

/** Adds the page and the script, `viewer`. The script's address holds its hash, so that a new version is never mixed with an old page. */
export function addDocsPage(app: FastifyInstance, viewer: Buffer): void {
  const script = `/docs/viewer-${sha256(viewer).toString("hex").slice(0, HASH_LENGTH)}.js`;
  const html = page(script);
  for (const path of ["/docs", "/docs/"]) {
    onlyReads(app, path, (reply) =>
      reply
        .type("text/html; charset=utf-8")
        .header("content-security-policy", CONTENT_SECURITY_POLICY)
        .send(html),
    );
  }
  onlyReads(app, script, (reply) =>
    reply
      .type("text/javascript; charset=utf-8")
      .header("cache-control", "public, max-age=31536000, immutable")
      .send(viewer),
  );
}
