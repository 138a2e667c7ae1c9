/**
 * localstripe, somebody else's idea of Stripe's API, as a process of its own: nothing of it comes into the program. It is of an older
 * version of the API, so a proxy leaves out what it does not know; whatever else differs is the test's to tell.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Cleanup, undoAfter } from "../support/cleanup.ts";
import { freePort } from "../support/free-port.ts";

const run = promisify(execFile);

export const LOCALSTRIPE = "localstripe==1.15.10";
/** Any key of the test mode is right. */
export const SECRET_KEY = "sk_test_localstripe";
const START_MS = 20_000;

/** Filters that localstripe has not, and parameters that came to Stripe's API after its version of it. */
const UNKNOWN_IN_QUERY = /^(expand|created|customer)/;
const UNKNOWN_IN_BODY = /^(expand|description|allowed_payment_method_types)/;

export interface Localstripe {
  /** Where our adapter asks: the proxy. */
  readonly url: string;
  /** Makes a card as a browser would, and returns its id. */
  card(number: string): Promise<string>;
  /** Whose a card is; null for nobody's. */
  customerOf(cardId: string): Promise<string | null>;
}

/** Installs and starts it; both are gone after the test. */
export async function startLocalstripe(t: Cleanup): Promise<Localstripe> {
  const folder = await mkdtemp(join(tmpdir(), "slipway-localstripe-"));
  undoAfter(t, () => rm(folder, { recursive: true, force: true }));
  await run("python3", ["-m", "venv", folder]);
  await run(join(folder, "bin", "pip"), ["install", "--quiet", LOCALSTRIPE]);
  const port = await freePort();
  const args = ["-m", "localstripe", "--port", String(port), "--from-scratch"];
  const child = spawn(join(folder, "bin", "python"), args, { cwd: folder, stdio: "ignore" });
  undoAfter(t, () => ended(child));
  await answering(port);
  const url = await startProxy(t, port);
  return {
    url,
    card: (number) => makeCard(port, number),
    async customerOf(cardId) {
      const answer = await fetch(`${url}/v1/payment_methods/${cardId}`, { headers: authorization() });
      return ((await answer.json()) as { customer: string | null }).customer;
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

async function answering(port: number): Promise<void> {
  const until = performance.now() + START_MS;
  while (performance.now() < until) {
    const answer = await fetch(`http://127.0.0.1:${port}/v1/customers`, { headers: authorization() }).catch(
      () => undefined,
    );
    if (answer?.ok) return;
    await sleep(100);
  }
  throw new Error("localstripe did not start");
}

const authorization = () => ({ authorization: `Bearer ${SECRET_KEY}` });

async function makeCard(port: number, number: string): Promise<string> {
  const body = new URLSearchParams({ type: "card", "card[number]": number, "card[cvc]": "123" });
  body.set("card[exp_month]", "12");
  body.set("card[exp_year]", "2099");
  const url = `http://127.0.0.1:${port}/v1/payment_methods`;
  const answer = await fetch(url, { method: "POST", headers: authorization(), body });
  const { id } = (await answer.json()) as { id: string };
  return id;
}

async function startProxy(t: Cleanup, port: number): Promise<string> {
  const proxy = createServer((asked, answer) => {
    void known(asked).then(({ path, body }) => {
      const headers = { ...asked.headers, "content-length": String(Buffer.byteLength(body)) };
      const up = request({ host: "127.0.0.1", port, method: asked.method, path, headers }, (got) => {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
      });
      up.on("error", () => answer.destroy());
      up.end(body);
    });
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  undoAfter(t, () => {
    proxy.closeAllConnections();
    proxy.close();
  });
  const address = proxy.address();
  return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
}

/** The request without what localstripe does not know. */
async function known(asked: IncomingMessage): Promise<{ readonly path: string; readonly body: string }> {
  const { pathname, searchParams } = new URL(asked.url ?? "/", "http://localhost");
  const query = without(searchParams, UNKNOWN_IN_QUERY);
  const body = without(new URLSearchParams(await text(asked)), UNKNOWN_IN_BODY);
  return { path: query === "" ? pathname : `${pathname}?${query}`, body };
}

function without(fields: URLSearchParams, unknown: RegExp): string {
  return new URLSearchParams([...fields].filter(([name]) => !unknown.test(name))).toString();
}
