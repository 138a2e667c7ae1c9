import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { readDocsViewer } from "../../src/main/docs-viewer.ts";
import { edge } from "../contract/edge/fixture.ts";
import { undoAfter } from "../support/cleanup.ts";

const POLL_MS = 100;

test("a real browser shows the API reference under its policy, with examples, and asks no other origin", async (t) => {
  const { docsViewer } = await readDocsViewer();
  assert.ok(docsViewer, "the viewer is installed");
  const { server } = edge(t, { handlers: {}, docsViewer });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const origin = `http://127.0.0.1:${port}`;
  const page = await openPage(t, `${origin}/docs`);

  const text = await page.until(/BillingModelService/);
  assert.match(text, /Slipway/);
  await page.run(
    `document.querySelector("openapi-explorer").shadowRoot.querySelector('[data-content-id="post-/v1/models"]').click()`,
  );
  assert.match(await page.until(/createSlipway/), /curl -sS "\$SLIPWAY_API_URL\/v1\/models"/);
  assert.deepEqual(page.refused, [], "nothing was refused by the page's own policy");
  assert.ok(page.requested.some((url) => url === `${origin}/openapi.json`));
  for (const url of page.requested) assert.ok(url.startsWith(`${origin}/`) || url.startsWith("data:"), url);
});

/** Everything that a page shows, also inside its components. */
const TEXT = `(function text(node) {
  const children = [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes];
  if (node.localName === "style" || node.localName === "script") return "";
  return node.nodeType === Node.TEXT_NODE ? node.data : children.map(text).join("");
})(document.documentElement)`;

interface Answer {
  readonly id?: number;
  readonly method?: string;
  readonly result?: { readonly result?: { readonly value?: unknown } };
  readonly params?: {
    readonly request?: { readonly url: string };
    readonly entry?: { readonly text: string; readonly source: string };
  };
}

/** A page in headless Chromium, driven over its DevTools protocol. */
async function openPage(t: TestContext, url: string) {
  const profile = await mkdtemp(join(tmpdir(), "slipway-browser-"));
  undoAfter(t, () => rm(profile, { recursive: true, force: true, maxRetries: 5 }));
  const args = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--remote-debugging-port=0",
  ];
  const browser = spawn("chromium", [...args, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise((resolve) => browser.once("close", resolve));
  undoAfter(t, async () => {
    browser.kill("SIGKILL");
    await ended;
  });
  const socket = new WebSocket(await pageAddress(await debuggerOf(browser.stderr)));
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", reject);
  });
  undoAfter(t, () => socket.close());

  const requested: string[] = [];
  const refused: string[] = [];
  const waiting = new Map<number, (answer: Answer) => void>();
  socket.addEventListener("message", ({ data }) => {
    const answer = JSON.parse(String(data)) as Answer;
    if (answer.id !== undefined) waiting.get(answer.id)?.(answer);
    if (answer.method === "Network.requestWillBeSent") requested.push(answer.params?.request?.url ?? "");
    const entry = answer.method === "Log.entryAdded" ? answer.params?.entry : undefined;
    if (entry?.source === "security") refused.push(entry.text);
  });
  let last = 0;
  const ask = (method: string, params: object = {}): Promise<Answer> => {
    const id = ++last;
    socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve) => waiting.set(id, resolve));
  };
  await ask("Network.enable");
  await ask("Log.enable");
  await ask("Page.navigate", { url });
  return {
    requested,
    refused,
    run: (expression: string) => ask("Runtime.evaluate", { expression }),
    /** Waits until the page's text matches; the runner's own bound ends a wait in vain. */
    async until(expected: RegExp): Promise<string> {
      for (;;) {
        const { result } = await ask("Runtime.evaluate", { expression: TEXT });
        const text = String(result?.result?.value);
        if (expected.test(text)) return text;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    },
  };
}

async function debuggerOf(stderr: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stderr })) {
    const found = /ws:\/\/(\S+?)\//.exec(line);
    if (found?.[1]) return found[1];
  }
  throw new Error("the browser ended before it could be driven");
}

async function pageAddress(host: string): Promise<string> {
  const pages = (await (await fetch(`http://${host}/json/list`)).json()) as {
    type: string;
    webSocketDebuggerUrl: string;
  }[];
  const page = pages.find(({ type }) => type === "page");
  assert.ok(page, "the browser has a page");
  return page.webSocketDebuggerUrl;
}
