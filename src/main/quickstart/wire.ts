/** The quickstart speaks to its own control plane as any client would: JSON over HTTP. */
import { StatusError } from "../../base/status.ts";

const CALL_TIMEOUT_MS = 30_000;

/** A JSON value as it came; callers pick the fields that they print. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** An answer that was no success, with the public words of the error. */
export class WireError extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.name = "WireError";
    this.status = status;
    this.reason = reason;
  }
}

export interface WireCall {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly token: string;
  readonly body?: Json;
  readonly idempotencyKey?: string;
}

export type Wire = (call: WireCall) => Promise<Json>;

/** A client of the control plane at `apiUrl`. Throws WireError for any answer but a success. */
export function wireOf(apiUrl: string): Wire {
  return async (call) => {
    const answer = await fetch(new URL(call.path, apiUrl), {
      method: call.method,
      headers: {
        authorization: `Bearer ${call.token}`,
        ...(call.body === undefined ? {} : { "content-type": "application/json" }),
        ...(call.idempotencyKey === undefined ? {} : { "idempotency-key": call.idempotencyKey }),
      },
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
    const json = (await answer.json()) as Json; // any JSON value is a Json
    if (answer.ok) return json;
    throw new WireError(answer.status, text(at(json, "details", 0, "reason")), text(at(json, "message")));
  };
}

/** The value at a path of names and indices, or null. */
export function at(json: Json | undefined, ...path: readonly (string | number)[]): Json {
  let here: Json | undefined = json;
  for (const step of path) {
    if (isList(here)) here = typeof step === "number" ? here[step] : undefined;
    else if (typeof here === "object" && here !== null) here = here[String(step)];
    else return null;
  }
  return here ?? null;
}

export function text(json: Json): string {
  return typeof json === "string" ? json : "";
}

export function list(json: Json): readonly Json[] {
  return isList(json) ? json : [];
}

/** google.type.Money as people read it. */
export function money(json: Json): string {
  const units = BigInt(text(at(json, "units")) || "0");
  const nanos = at(json, "nanos");
  const total = units * 1_000_000_000n + BigInt(typeof nanos === "number" ? nanos : 0);
  const sign = total < 0n ? "-" : "";
  const abs = total < 0n ? -total : total;
  const fraction = (abs % 1_000_000_000n).toString().padStart(9, "0").replace(/0+$/, "").padEnd(2, "0");
  return `${sign}${abs / 1_000_000_000n}.${fraction} ${text(at(json, "currencyCode"))}`;
}

/** The field must be there: a wire that lacks it is a bug of ours. */
export function must(json: Json, ...path: readonly (string | number)[]): string {
  const found = text(at(json, ...path));
  if (found !== "") return found;
  throw new StatusError({
    code: "INTERNAL",
    reason: "INTERNAL",
    message: `The answer lacks ${path.join(".")}.`,
  });
}

function isList(json: Json | undefined): json is readonly Json[] {
  return Array.isArray(json);
}
