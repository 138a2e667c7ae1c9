/** The stand-in as a server: routes, lists, idempotency keys, and failures on purpose. See README. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Cleanup, undoAfter } from "../cleanup.ts";
import { balanceOfLines, expands } from "./balance.ts";
import { Books, type FakeEvent, one, signed, type Thing } from "./books.ts";
import { missing, nestedOf, type Params, parseForm, Refused, textOf, textsOf } from "./http.ts";

/** What the next requests that match suffer. */
export interface Fault {
  /** Method and the beginning of the path: `POST /v1/payment_intents`. */
  readonly match: string;
  /** `after`: its effect has happened. */
  readonly when: "before" | "after";
  /** `kept`: the 500 is what the idempotency key is answered with from now on. */
  readonly how: "500" | "kept" | "drop" | "429" | "401";
  times?: number;
}

export interface Webhook {
  readonly url: string;
  readonly secret: string;
}

export interface FakeStripe {
  readonly url: string;
  readonly books: Books;
  readonly faults: Fault[];
  /** Where events go from now on; undefined: they are only listed. */
  webhook: Webhook | undefined;
  /** `POST /v1/refunds` and so on, with the idempotency key, in order. */
  readonly calls: { readonly what: string; readonly key: string }[];
  close(): Promise<void>;
}

interface Kept {
  readonly request: string;
  answer: Answer | undefined;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const PAGE_DEFAULT = 10;
const DELIVERY_TIMEOUT_MS = 10_000;
const REDELIVER_MS = 200;
const DELIVERIES_MAX = 20;

/** A stand-in that ends with the test. */
export async function fakeStripe(t: Cleanup, now?: () => Date): Promise<FakeStripe> {
  const fake = await startFakeStripe({ now: now ?? (() => new Date()) });
  undoAfter(t, () => fake.close());
  return fake;
}

export async function startFakeStripe(options: { now: () => Date; port?: number }): Promise<FakeStripe> {
  const { deliver, settled } = deliveries(() => fake.webhook, options.now);
  const books = new Books(options.now, deliver);
  const kept = new Map<string, Kept>();
  const server = createServer((request, response) => {
    void serve(fake, kept, request, response).catch(() => response.destroy());
  });
  server.listen(options.port ?? 0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const fake: FakeStripe = {
    url: `http://127.0.0.1:${port}`,
    books,
    faults: [],
    webhook: undefined,
    calls: [],
    close: async () => {
      fake.webhook = undefined;
      await Promise.all([closed(server), settled()]);
    },
  };
  return fake;
}

async function serve(
  fake: FakeStripe,
  kept: Map<string, Kept>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? "/", fake.url);
  const body = await read(request);
  const what = `${request.method} ${url.pathname}`;
  const key = request.headers["idempotency-key"]?.toString() ?? "";
  const fault = takeFault(fake.faults, what);
  fake.calls.push({ what, key });
  if (fault?.when === "before") return fail(response, fault);
  const params = parseForm(request.method === "POST" ? body : url.search.slice(1));
  const run = () => answerOf(fake, request, url.pathname, params);
  const done =
    request.method === "POST" && key !== "" ? once(kept, key, `${what} ${body}`, run, fault) : run();
  if (fault) return fail(response, fault);
  send(response, done);
}

/** The first answer of the key, or the request's own. What never began to run is not kept. */
function once(
  kept: Map<string, Kept>,
  key: string,
  request: string,
  run: () => Answer,
  fault: Fault | undefined,
): Answer {
  const known = kept.get(key);
  if (known && known.request !== request) {
    const message =
      "Keys for idempotent requests can only be used with the same parameters they were first used with.";
    return { status: 400, body: { error: { type: "idempotency_error", message } } };
  }
  if (known?.answer) return known.answer;
  const answer = run();
  const began = answer.status < 400 || answer.status === 402;
  const remembered = fault?.how === "kept" ? INTERNAL : structuredClone(answer);
  if (began) kept.set(key, { request, answer: remembered });
  return answer;
}

const INTERNAL: Answer = {
  status: 500,
  body: { error: { type: "api_error", message: "An unknown error occurred" } },
};

function answerOf(fake: FakeStripe, request: IncomingMessage, path: string, params: Params): Answer {
  try {
    if (path.startsWith("/_fake/")) return { status: 200, body: control(fake, path, params) };
    if (!/^Bearer [rs]k_test_\w+$/.test(request.headers.authorization ?? "")) {
      throw new Refused(401, { type: "invalid_request_error", message: "Invalid API Key provided" });
    }
    return { status: 200, body: route(fake.books, `${request.method} ${path}`, params) };
  } catch (error) {
    if (error instanceof Refused) return { status: error.status, body: { error: error.body } };
    throw error;
  }
}

function route(books: Books, what: string, params: Params): unknown {
  const [, method = "", kind = "", id = "", verb = ""] =
    /^(\w+) \/v1\/(\w+)(?:\/([^/]+))?(?:\/(\w+))?$/.exec(what) ?? [];
  switch (`${method} ${kind}${id === "" ? "" : "/:id"}${verb === "" ? "" : `/${verb}`}`) {
    case "POST customers":
      return books.customer(params);
    case "POST customers/:id":
      return books.updateCustomer(id, params);
    case "GET customers/:id":
      return one(books.customers, "customer", id);
    case "POST setup_intents":
      return books.setup(params);
    case "GET payment_methods/:id":
      return books.card(id);
    case "POST payment_methods/:id/attach":
      return books.attach(id, params);
    case "POST payment_methods/:id/detach":
      return books.detach(id);
    case "POST payment_intents":
      return books.pay(params);
    case "GET payment_intents":
      return page(books.payments, params, ["customer"]);
    case "GET payment_intents/:id":
      return one(books.payments, "payment_intent", id);
    case "POST payment_intents/:id/cancel":
      return books.cancel(id);
    case "POST refunds":
      return books.refund(params);
    case "GET refunds":
      return page(books.refunds, params, ["payment_intent"]);
    case "GET refunds/:id":
      return one(books.refunds, "refund", id);
    case "GET disputes":
      return page(books.disputes, params, ["payment_intent"]);
    case "GET balance":
      return balanceOfLines(books.lines.values());
    case "GET balance_transactions":
      return linesPage(books, params);
    case "GET payouts/:id":
      return payout(books, one(books.payouts, "payout", id), params);
    case "GET disputes/:id":
      return one(books.disputes, "dispute", id);
    case "GET events":
      return page(new Map(books.events.map((event) => [event.id, event])), params, []);
    default:
      throw missing("route", what);
  }
}

function linesPage(books: Books, params: Params): unknown {
  const found = page(books.lines, params, ["type", "source", "currency"]);
  if (!expands(params, "data.source")) return found;
  const data = found.data.map((line) => ({ ...line, source: books.thing(String(line.source)) ?? null }));
  return { ...found, data };
}

function payout(books: Books, thing: Thing, params: Params): unknown {
  const names = ["balance_transaction", "failure_balance_transaction"].filter((name) =>
    expands(params, name),
  );
  const expanded = names.map((name) => [name, books.thing(String(thing[name])) ?? null]);
  return { ...thing, ...Object.fromEntries(expanded) };
}

/** Newest first, cut to a page: https://docs.stripe.com/api/pagination. */
function page(things: Map<string, Thing>, params: Params, filters: readonly string[]) {
  const created = nestedOf(params, "created");
  const types = textsOf(params, "types");
  const fitting = [...things.values()]
    .toReversed()
    .filter(
      (thing) =>
        filters.every((name) => !(name in params) || thing[name] === params[name]) &&
        (types.length === 0 || types.includes(String(thing.type))) &&
        (!("gte" in created) || thing.created >= Number(created.gte)) &&
        (!("lt" in created) || thing.created < Number(created.lt)),
    );
  const after = textOf(params, "starting_after");
  const rest = after === "" ? fitting : fitting.slice(fitting.findIndex(({ id }) => id === after) + 1);
  const limit = Number(textOf(params, "limit") || PAGE_DEFAULT);
  return { object: "list", url: "/v1/list", has_more: rest.length > limit, data: rest.slice(0, limit) };
}

/** What cardholders, banks and tests do to a stand-in in another process. */
function control(fake: FakeStripe, path: string, params: Params): unknown {
  const { books } = fake;
  const id = textOf(params, "id");
  switch (path.slice("/_fake/".length)) {
    case "webhook":
      fake.webhook = { url: textOf(params, "url"), secret: textOf(params, "secret") };
      return {};
    case "fault":
      fake.faults.push({
        match: textOf(params, "match"),
        when: textOf(params, "when") === "before" ? "before" : "after",
        how: textOf(params, "how") as Fault["how"],
      });
      return {};
    case "holder":
      return books.holder(id, textOf(params, "answer") === "refuses" ? "refuses" : "confirms");
    case "dispute":
      return books.dispute(id);
    case "payout":
      return books.payout(Number(textOf(params, "amount")));
    case "summary":
      return { succeeded: books.succeeded(), payments: books.payments.size, refunds: books.refunds.size };
    default:
      throw missing("control", path);
  }
}

function takeFault(faults: Fault[], what: string): Fault | undefined {
  const at = faults.findIndex(({ match }) => what.startsWith(match));
  const fault = faults[at];
  if (!fault) return undefined;
  fault.times = (fault.times ?? 1) - 1;
  if (fault.times <= 0) faults.splice(at, 1);
  return fault;
}

function fail(response: ServerResponse, { how }: Fault): void {
  if (how === "drop") response.destroy();
  else if (how === "401")
    send(response, {
      status: 401,
      body: { error: { type: "invalid_request_error", message: "Invalid API Key" } },
    });
  else if (how !== "429") send(response, INTERNAL);
  else
    send(response, {
      status: 429,
      body: { error: { type: "rate_limit_error", message: "Too many requests" } },
    });
}

function send(response: ServerResponse, { status, body }: Answer): void {
  const headers = {
    "content-type": "application/json",
    "request-id": "req_fake",
    "stripe-should-retry": "false",
  };
  response.writeHead(status, headers).end(JSON.stringify(body));
}

async function read(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

/** One after the other, each again until it is taken or its tries are over. */
function deliveries(webhook: () => Webhook | undefined, now: () => Date) {
  let queue = Promise.resolve();
  const send = async (event: FakeEvent): Promise<void> => {
    for (let tries = 0; tries < DELIVERIES_MAX; tries++) {
      const to = webhook();
      if (!to) return;
      if (await delivered(to, event, now())) return;
      await sleep(REDELIVER_MS);
    }
  };
  return {
    deliver: (event: FakeEvent) => {
      queue = queue.then(() => send(event));
    },
    settled: () => queue,
  };
}

async function delivered(to: Webhook, event: FakeEvent, at: Date): Promise<boolean> {
  const { body, signature } = signed(event, to.secret, at);
  const answer = await fetch(to.url, {
    method: "POST",
    headers: { "content-type": "application/json; charset=utf-8", "stripe-signature": signature },
    body,
    signal: AbortSignal.timeout(DELIVERY_TIMEOUT_MS),
  }).catch(() => undefined);
  return answer?.ok ?? false;
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
