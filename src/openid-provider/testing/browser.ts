/** As much of a browser as a login takes: cookies by path, redirects, forms with their hidden fields. It runs no scripts. */
import assert from "node:assert/strict";

export interface Page {
  readonly url: string;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface Browser {
  /** Follows redirects on the way, but not to another origin: that address is the page's `url`, and its status 0. */
  open(url: string): Promise<Page>;
  /** Sends the page's first form, or the one whose action ends so, with these fields; a browser's own headers go along. */
  submit(page: Page, fields: Readonly<Record<string, string>>, options?: SubmitOptions): Promise<Page>;
  readonly cookies: ReadonlyMap<string, Cookie>;
}

export interface SubmitOptions {
  readonly action?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Cookie {
  readonly value: string;
  readonly path: string;
  readonly attributes: string;
}

const REDIRECTS_MAX = 10;

export function browser(): Browser {
  const cookies = new Map<string, Cookie>();
  const request = async (url: string, init: RequestInit): Promise<Page> => {
    let target = new URL(url);
    let next = init;
    for (let redirects = 0; redirects < REDIRECTS_MAX; redirects++) {
      const headers = new Headers(next.headers);
      headers.set("accept", "text/html");
      const cookie = cookieHeader(cookies, target.pathname);
      if (cookie !== "") headers.set("cookie", cookie);
      const response = await fetch(target, { ...next, headers, redirect: "manual" });
      for (const line of response.headers.getSetCookie()) keep(cookies, line);
      const location = response.headers.get("location");
      if (location === null) {
        return {
          url: target.href,
          status: response.status,
          headers: response.headers,
          text: await response.text(),
        };
      }
      await response.body?.cancel();
      const to = new URL(location, target);
      if (to.origin !== target.origin)
        return { url: to.href, status: 0, headers: response.headers, text: "" };
      target = to;
      next = {};
    }
    throw new Error(`too many redirects at ${target.href}`);
  };
  return {
    cookies,
    open: (url) => request(url, {}),
    async submit(page, fields, { action, headers } = {}) {
      const form = formOf(page.text, action);
      const body = new URLSearchParams({ ...form.hidden, ...fields });
      const { href, origin } = new URL(form.action, page.url);
      return request(href, {
        method: "POST",
        body,
        headers: { origin, "sec-fetch-site": "same-origin", ...headers },
      });
    },
  };
}

function formOf(text: string, action = ""): { action: string; hidden: Record<string, string> } {
  const forms = [...text.matchAll(/<form[^>]*action="([^"]*)"[^>]*>(.*?)<\/form>/gs)];
  const form = forms.find(([, to]) => to?.endsWith(action));
  assert.ok(form, `there is no such form: ${text}`);
  const hidden = [...(form[2] ?? "").matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g)];
  return {
    action: (form[1] ?? "").replaceAll("&amp;", "&"),
    hidden: Object.fromEntries(hidden.map(([, name, value]) => [name, value])),
  };
}

function keep(cookies: Map<string, Cookie>, line: string): void {
  const [pair = "", ...attributes] = line.split(";").map((part) => part.trim());
  const at = pair.indexOf("=");
  const path = attributes.find((one) => /^path=/i.test(one))?.slice("path=".length) ?? "/";
  const name = pair.slice(0, at);
  const value = pair.slice(at + 1);
  if (value === "") cookies.delete(`${path} ${name}`);
  else cookies.set(`${path} ${name}`, { value, path, attributes: attributes.join("; ") });
}

function cookieHeader(cookies: ReadonlyMap<string, Cookie>, path: string): string {
  return [...cookies]
    .filter(([, cookie]) => path === cookie.path || path.startsWith(cookie.path.replace(/\/?$/, "/")))
    .map(([name, cookie]) => `${name.split(" ")[1]}=${cookie.value}`)
    .join("; ");
}
