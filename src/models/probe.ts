/** The completion probe over HTTP: a real chat completion of one token, the only thing that makes a replica ready. */
import { request as httpRequest } from "node:http";
import type { BaseCtx } from "../base/ctx.ts";
import type { ProbeOutcome } from "./attempt.ts";
import type { CompletionProbe, ProbeTarget } from "./ports.ts";

/** More than any one-token answer takes; past it the answer is not one. */
const BODY_BYTES_MAX = 64 * 1024;
/** Text of an error that is told on. */
const WORDS_LENGTH_MAX = 300;

/** Asks on a connection of its own: between two probes any kept connection would have been closed by the engine. */
export function httpCompletionProbe(): CompletionProbe {
  return { probe: (ctx, target, timeoutMs) => ask(ctx, target, timeoutMs) };
}

/**
 * The target's answer. `refused`: no connection, or it broke; `rejected`: an answer that is no completion; `timeout`: no answer in
 * time, which a busy engine may do too.
 */
function ask(ctx: BaseCtx, target: ProbeTarget, timeoutMs: number): Promise<ProbeOutcome> {
  const body = JSON.stringify({
    model: target.servedName,
    messages: [{ role: "user", content: "Hi" }],
    max_tokens: 1,
    temperature: 0,
  });
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const done = (outcome: ProbeOutcome) => {
      clearTimeout(timer);
      resolve(outcome);
    };
    const sent = httpRequest(
      {
        host: target.address.host,
        port: target.address.port,
        method: "POST",
        path: "/v1/chat/completions",
        agent: false,
        headers: {
          authorization: `Bearer ${target.engineKey}`,
          "content-type": "application/json",
          "content-length": Buffer.byteLength(body),
        },
        ...(ctx.signal ? { signal: ctx.signal } : {}),
      },
      (answer) => {
        const chunks: Buffer[] = [];
        let size = 0;
        answer.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > BODY_BYTES_MAX) sent.destroy(new Error("the answer is too long"));
          else chunks.push(chunk);
        });
        answer.on("end", () => done(judge(answer.statusCode ?? 0, Buffer.concat(chunks).toString("utf8"))));
        answer.on("error", (error) => done(refused(error)));
      },
    );
    sent.on("error", (error) => done(refused(error)));
    timer = setTimeout(() => {
      done({ ok: false, kind: "timeout", message: `no answer within ${timeoutMs / 1_000} s` });
      sent.destroy();
    }, timeoutMs);
    sent.end(body);
  });
}

function refused(error: Error): ProbeOutcome {
  const code = "code" in error ? String(error.code) : error.message;
  return { ok: false, kind: "refused", message: code.slice(0, WORDS_LENGTH_MAX) };
}

function judge(status: number, body: string): ProbeOutcome {
  if (status !== 200) {
    return { ok: false, kind: "rejected", message: `it answers ${status}: ${errorOf(body)}` };
  }
  if (isCompletion(body)) return { ok: true };
  return { ok: false, kind: "rejected", message: "its answer is no completion" };
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
