import { createHash } from "node:crypto";
import { type Html, html } from "./html.ts";

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; display: grid; place-items: center; min-height: 100vh; }
main { width: min(24rem, 100% - 3rem); padding: 2rem 0; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; }
label { display: block; margin: 1rem 0 .25rem; }
input { width: 100%; box-sizing: border-box; padding: .6rem; font: inherit; }
button { width: 100%; margin-top: 1.25rem; padding: .7rem; font: inherit; cursor: pointer; }
button.primary { background: #14532d; color: #fff; border: 0; border-radius: .3rem; }
code { font-size: 1.5rem; letter-spacing: .1em; }
.error { border-left: .25rem solid #b91c1c; padding: .25rem .75rem; }
.note { opacity: .75; font-size: .9rem; }
`;

const STYLE_HASH = createHash("sha256").update(STYLE).digest("base64");

/**
 * What a page may do: show itself with its one style, and send its forms to us, and from there to a command line on this
 * machine. The library adds the hash of its one script (which goes on from a link with a device code) to script-src.
 */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    `style-src 'sha256-${STYLE_HASH}'`,
    "script-src",
    "form-action 'self' http://127.0.0.1:*",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join(";"),
  "x-frame-options": "DENY",
  // With no-referrer browsers would call our own forms' origin "null".
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};

/** A whole page. */
export function page(title: string, body: Html): string {
  const style: Html = { html: `<style>${STYLE}</style>` };
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title} · Slipway</title>
${style}
</head>
<body><main>
<h1>${title}</h1>
${body}
</main></body>
</html>
`.html;
}

/** What went wrong, where something did. */
export function problem(message: string | undefined): Html {
  return message === undefined ? html`` : html`<p class="error" role="alert">${message}</p>`;
}
