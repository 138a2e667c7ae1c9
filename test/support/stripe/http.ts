/** Requests as Stripe's clients write them, and errors as Stripe words them. */

/** A form's value: text, or what brackets nest. */
export type Value = string | { [name: string]: Value };
export type Params = { [name: string]: Value };

/** `a[b]=1&c[0]=2` → { a: { b: "1" }, c: { 0: "2" } }. */
export function parseForm(text: string): Params {
  const params: Params = {};
  for (const [path, value] of new URLSearchParams(text)) {
    const names = path.split(/[[\]]+/).filter((name) => name !== "");
    const last = names.pop() ?? "";
    let at = params;
    for (const name of names) {
      const inner = at[name];
      at = at[name] = typeof inner === "object" ? inner : {};
    }
    at[last] = value;
  }
  return params;
}

export function textOf(params: Params, name: string): string {
  const value = params[name];
  return typeof value === "string" ? value : "";
}

export function nestedOf(params: Params, name: string): Params {
  const value = params[name];
  return typeof value === "object" ? value : {};
}

export function textsOf(params: Params, name: string): string[] {
  return Object.values(nestedOf(params, name)).filter((value) => typeof value === "string");
}

export interface ErrorBody {
  readonly type: string;
  readonly code?: string;
  readonly decline_code?: string;
  readonly param?: string;
  readonly message: string;
  readonly payment_intent?: unknown;
}

export class Refused extends Error {
  readonly status: number;
  readonly body: ErrorBody;

  constructor(status: number, body: ErrorBody) {
    super(body.message);
    this.status = status;
    this.body = body;
  }
}

export function invalid(message: string, more: Partial<ErrorBody> = {}): Refused {
  return new Refused(400, { type: "invalid_request_error", message, ...more });
}

export function missing(what: string, id: string, param = "id"): Refused {
  const message = `No such ${what}: '${id}'`;
  return new Refused(404, { type: "invalid_request_error", code: "resource_missing", param, message });
}
