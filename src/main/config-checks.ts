/** What settings must keep together. */
import { StatusError } from "../base/status.ts";
import type { Config } from "./settings.ts";

const LOOPBACK: readonly string[] = ["127.0.0.1", "::1", "[::1]", "localhost"];

/** Refuses settings that are dangerous or mean nothing together. Throws CONFIG_INVALID. */
export function checkFences(config: Config): void {
  const loopback = LOOPBACK.includes(config.SLIPWAY_BIND);
  if (config.SLIPWAY_PAYMENTS === "test" && !loopback) {
    throw refused(
      "SLIPWAY_PAYMENTS=test takes play money, so it needs SLIPWAY_BIND on loopback. Turn it off, or bind to 127.0.0.1.",
    );
  }
  if (config.SLIPWAY_TERMS_URL !== undefined && config.SLIPWAY_TERMS_VERSION === undefined) {
    throw refused(
      "SLIPWAY_TERMS_URL alone asks nobody for anything. Set SLIPWAY_TERMS_VERSION too, such as to the date of the terms.",
    );
  }
  if (config.SLIPWAY_INVOICE_SELLER_NAME === undefined) {
    const idle = [
      config.SLIPWAY_INVOICE_SELLER_ADDRESS,
      config.SLIPWAY_INVOICE_SELLER_TAX_ID,
      config.SLIPWAY_INVOICE_NOTE,
    ];
    if (idle.some((one) => one !== undefined)) {
      throw refused(
        "SLIPWAY_INVOICE_SELLER_ADDRESS, SLIPWAY_INVOICE_SELLER_TAX_ID and SLIPWAY_INVOICE_NOTE mean nothing without SLIPWAY_INVOICE_SELLER_NAME. Set it: then invoices are issued.",
      );
    }
  }
  checkStripe(config);
  checkMailHook(config);
  if (config.DATABASE_URL !== undefined && config.SLIPWAY_SECRET_KEY === undefined) {
    throw refused(
      "DATABASE_URL needs SLIPWAY_SECRET_KEY: every process must open the same sealed secrets. Make one with `openssl rand -hex 32`.",
    );
  }
  checkPublicUrl(config.SLIPWAY_PUBLIC_URL);
  checkIssuer(config);
}

function checkPublicUrl(text: string | undefined): void {
  if (text === undefined) return;
  const url = new URL(text);
  if (/^https?:$/.test(url.protocol) && `${url.origin}/` === url.href) return;
  throw refused(
    "SLIPWAY_PUBLIC_URL must be an address like https://slipway.example.com, without path, query or user.",
  );
}

function checkIssuer({
  SLIPWAY_OIDC_ISSUER: issuer,
  SLIPWAY_OIDC_AUDIENCE: audience,
  ...config
}: Config): void {
  if (issuer === undefined) {
    const idle = [
      audience,
      config.SLIPWAY_OIDC_CLIENT_ID,
      config.SLIPWAY_OIDC_RESOURCE,
      config.SLIPWAY_ADMIN_SUBJECTS[0],
    ];
    if (idle.every((one) => one === undefined)) return;
    throw refused(
      "SLIPWAY_OIDC_AUDIENCE, SLIPWAY_OIDC_CLIENT_ID, SLIPWAY_OIDC_RESOURCE and SLIPWAY_ADMIN_SUBJECTS mean nothing without SLIPWAY_OIDC_ISSUER. Set it.",
    );
  }
  const url = new URL(issuer);
  const loopback = LOOPBACK.includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && loopback)) {
    throw refused(
      "SLIPWAY_OIDC_ISSUER must be an https address (http only on loopback): who can change its answers can be anybody.",
    );
  }
  if (url.username !== "" || url.search !== "" || url.hash !== "") {
    throw refused("SLIPWAY_OIDC_ISSUER must have no user, query or fragment.");
  }
  if (config.SLIPWAY_OIDC_RESOURCE !== undefined && new URL(config.SLIPWAY_OIDC_RESOURCE).hash !== "") {
    throw refused("SLIPWAY_OIDC_RESOURCE must have no fragment (RFC 8707).");
  }
  if (audience === undefined) {
    throw refused(
      "SLIPWAY_OIDC_ISSUER needs SLIPWAY_OIDC_AUDIENCE: else tokens that the issuer made for other programs would open this one.",
    );
  }
}

function checkMailHook(config: Config): void {
  const { SLIPWAY_MAIL_HOOK_URL: url, SLIPWAY_MAIL_HOOK_SECRET: secret } = config;
  if ((url === undefined) === (secret === undefined)) return;
  throw refused(
    url === undefined
      ? "SLIPWAY_MAIL_HOOK_SECRET is set without SLIPWAY_MAIL_HOOK_URL. Set both, or neither."
      : "SLIPWAY_MAIL_HOOK_URL needs SLIPWAY_MAIL_HOOK_SECRET: without a signature anybody could send mail in your name. Make one with `echo whsec_$(openssl rand -base64 32)`.",
  );
}

function checkStripe(config: Config): void {
  const stripe = config.SLIPWAY_PAYMENTS === "stripe";
  if (stripe !== (config.SLIPWAY_STRIPE_SECRET_KEY !== undefined)) {
    throw refused(
      stripe
        ? "SLIPWAY_PAYMENTS=stripe needs SLIPWAY_STRIPE_SECRET_KEY. Take one from Stripe's dashboard, Developers, API keys."
        : "SLIPWAY_STRIPE_SECRET_KEY is set, but SLIPWAY_PAYMENTS is not stripe. Set it, or unset the key.",
    );
  }
  const { protocol, hostname } = new URL(config.SLIPWAY_STRIPE_URL);
  if (protocol !== "https:" && !LOOPBACK.includes(hostname)) {
    throw refused(
      "SLIPWAY_STRIPE_URL must begin with https, or be on this machine: the secret key goes there.",
    );
  }
}

export function refused(message: string): StatusError {
  return new StatusError({ code: "FAILED_PRECONDITION", reason: "CONFIG_INVALID", message });
}
