/**
 * The completion probe over HTTP: a real chat completion of one token, the only thing that makes a replica ready. An address with a
 * certificate is spoken to in TLS, whose only trust is that certificate, and never without it.
 */
import { Agent, type buildConnector, Client, type Dispatcher, errors } from "undici";
import type { BaseCtx } from "../base/ctx.ts";
import { connectPinned, PinError, type PinnedAddress } from "../base/pinned-tls.ts";
import type { ReplicaAddress } from "../providers/driver.ts";
import type { ProbeOutcome } from "./attempt.ts";
import type { CompletionProbe, ProbeTarget } from "./ports.ts";

/** More than any one-token answer takes; past it the answer is not one. */
const BODY_BYTES_MAX = 64 * 1024;
/** Text of an error that is told on. */
const WORDS_LENGTH_MAX = 300;
/** Longer than the time between two probes: a kept connection costs a third of a new one. */
const KEEP_ALIVE_MS = 60_000;
/** A machine that swallows the first packets of a connection is not waited for longer. */
const CONNECT_TIMEOUT_MS = 10_000;
const HTTPS_PORT = 443;
/** One probe of a replica at a time; with more, a connection that is just being given back would be passed over. */
const CONNECTIONS_MAX = 1;

/** Keeps one connection an engine; `close` gives them back. */
export function httpCompletionProbe(): CompletionProbe & { close(): Promise<void> } {
  const agent = new Agent({
    connections: CONNECTIONS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    pipelining: 1,
    factory: clientOf,
  });
  return {
    probe: (ctx, target, timeoutMs) => probe(agent, ctx, target, timeoutMs),
    close: () => agent.destroy(),
  };
}

/** What the agent keeps connections by: the address and, as the origin's user, the certificate that is expected there. */
function originOf({ host, port, certificateSha256: pin }: ReplicaAddress): string {
  const at = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return pin === undefined ? `http://${at}` : `https://${pin}@${at}`;
}

function clientOf(origin: string | URL, options: object): Client {
  const url = new URL(origin);
  if (url.protocol === "http:") return new Client(url.origin, options);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const address = { host, port: Number(url.port || HTTPS_PORT), certificateSha256: url.username };
  return new Client(url.origin, { ...options, connect: (_, done) => connect(address, done) });
}

function connect(address: PinnedAddress, done: buildConnector.Callback): void {
  const late = () => socket.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS / 1_000} s`));
  const timer = setTimeout(late, CONNECT_TIMEOUT_MS);
  const socket = connectPinned(address, {
    opened(open) {
      clearTimeout(timer);
      done(null, open);
    },
    failed(error) {
      clearTimeout(timer);
      done(error, null);
    },
  });
}

/**
 * The target's answer. `refused`: no connection, or it broke; `rejected`: an answer that is no completion; `timeout`: no answer in
 * time, which a busy engine may do too. An engine may close a kept connection just when it is used again: that says nothing, so
 * it is asked once more on a new one.
 */
async function probe(
  agent: Dispatcher,
  ctx: BaseCtx,
  target: ProbeTarget,
  timeoutMs: number,
): Promise<ProbeOutcome> {
  const first = await ask(agent, ctx, target, timeoutMs);
  return first === "broken" ? brokenIsRefused(await ask(agent, ctx, target, timeoutMs)) : first;
}

function brokenIsRefused(outcome: ProbeOutcome | "broken"): ProbeOutcome {
  if (outcome !== "broken") return outcome;
  return { ok: false, kind: "refused", message: "the connection broke" };
}

/** One exchange by the bare dispatcher: streams and signals would cost more than the rest of it. */
function ask(
  agent: Dispatcher,
  ctx: BaseCtx,
  target: ProbeTarget,
  timeoutMs: number,
): Promise<ProbeOutcome | "broken"> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let status = 0;
    let size = 0;
    let controller: Dispatcher.DispatchController | undefined;
    const end = (outcome: ProbeOutcome | "broken") => {
      clearTimeout(timer);
      ctx.signal?.removeEventListener("abort", late);
      resolve(outcome);
    };
    const giveUp = (outcome: ProbeOutcome) => {
      end(outcome);
      controller?.abort(new Error("no longer waited for"));
    };
    const late = () =>
      giveUp({ ok: false, kind: "timeout", message: `no answer within ${timeoutMs / 1_000} s` });
    const timer = setTimeout(late, timeoutMs);
    ctx.signal?.addEventListener("abort", late, { once: true });
    agent.dispatch(requestTo(target), {
      onRequestStart(started) {
        controller = started;
      },
      onResponseStart(_controller, code) {
        status = code;
      },
      onResponseData(_controller, chunk) {
        size += chunk.length;
        if (size > BODY_BYTES_MAX) giveUp(rejected("its answer is too long"));
        else chunks.push(chunk);
      },
      onResponseEnd() {
        end(judge(status, Buffer.concat(chunks).toString("utf8")));
      },
      onResponseError(_controller, error) {
        end(isBroken(error) ? "broken" : refused(error));
      },
    });
  });
}

function requestTo(target: ProbeTarget): Dispatcher.DispatchOptions {
  return {
    origin: originOf(target.address),
    path: "/v1/chat/completions",
    method: "POST",
    headers: { authorization: `Bearer ${target.engineKey}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: target.servedName,
      messages: [{ role: "user", content: "Hi" }],
      max_tokens: 1,
      temperature: 0,
    }),
  };
}

function isBroken(error: Error): boolean {
  return error instanceof errors.SocketError || codeOf(error) === "ECONNRESET";
}

function judge(status: number, body: string): ProbeOutcome {
  if (status !== 200) return rejected(`it answers ${status}: ${errorOf(body)}`);
  return isCompletion(body) ? { ok: true } : rejected("its answer is no completion");
}

function rejected(message: string): ProbeOutcome {
  return { ok: false, kind: "rejected", message };
}

function refused(error: unknown): ProbeOutcome {
  return { ok: false, kind: "refused", message: codeOf(error).slice(0, WORDS_LENGTH_MAX) };
}

function codeOf(error: unknown): string {
  if (error instanceof PinError) return error.message;
  if (typeof error === "object" && error !== null && "code" in error) return String(error.code);
  return error instanceof Error ? error.message : String(error);
}

function isCompletion(body: string): boolean {
  const answer = parsed(body);
  if (typeof answer !== "object" || answer === null || !("choices" in answer)) return false;
  return Array.isArray(answer.choices) && answer.choices.length > 0;
}

/** The engine's own words; its request held nothing secret but the key, which no engine repeats. */
function errorOf(body: string): string {
  const answer = parsed(body);
  const error = typeof answer === "object" && answer !== null && "error" in answer ? answer.error : undefined;
  const message =
    typeof error === "object" && error !== null && "message" in error ? error.message : undefined;
  return String(message ?? "no reason given").slice(0, WORDS_LENGTH_MAX);
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
