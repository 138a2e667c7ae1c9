/** Every setting has a name, a default, bounds and a sentence for the reference. */
import { totalmem } from "node:os";
import { z } from "zod";
import { SIGNING_ALGORITHMS } from "../oidc/signing-algorithms.ts";
import {
  algorithms,
  gib,
  hosts,
  marks,
  optionalPort,
  paths,
  port,
  ranges,
  rate,
  seconds,
} from "./setting-kinds.ts";

export const settings = z.object({
  SLIPWAY_HOME: z
    .string()
    .default(".slipway")
    .describe("Folder of this installation's state: database, secrets, weights, logs."),
  SLIPWAY_BIND: z.string().default("127.0.0.1").describe("Address that every port binds to."),
  SLIPWAY_PORT: port(8080).describe("Control plane: REST and Connect. 0 picks a free one."),
  SLIPWAY_GATEWAY_PORT: port(8081).describe("Inference gateway. 0 picks a free one."),
  SLIPWAY_GRPC_PORT: optionalPort.describe("gRPC over cleartext HTTP/2; off when unset."),
  SLIPWAY_METRICS_PORT: optionalPort.describe("Prometheus metrics, always on loopback; off when unset."),
  SLIPWAY_GATEWAY_URL: z
    .url()
    .optional()
    .describe("What models' endpoints begin with; default: the gateway's own address."),
  DATABASE_URL: z.string().optional().describe("An outside Postgres 15 or later; unset: the embedded one."),
  SLIPWAY_SECRET_KEY: z
    .string()
    .min(32)
    .optional()
    .describe(
      "Seals keys and tokens at rest, 32 characters or more. Required with DATABASE_URL; else a file in the home.",
    ),
  SLIPWAY_PAYMENTS: z
    .enum(["off", "test", "stripe"])
    .default("off")
    .describe(
      "`stripe` takes cards by Stripe. `test` takes Stripe's well-known test cards without it; its money pays for local regions only and needs a loopback bind.",
    ),
  SLIPWAY_STRIPE_SECRET_KEY: z
    .string()
    .regex(/^[rs]k_\w{8,}$/, "must be a secret or restricted key of Stripe: sk_… or rk_…")
    .optional()
    .describe(
      "Stripe's secret key, for `stripe` payments. With one of the test mode (`sk_test_`) money is play money.",
    ),
  SLIPWAY_STRIPE_WEBHOOK_SECRET: z
    .string()
    .regex(/^whsec_\w{8,}$/, "must be the signing secret of a webhook's endpoint at Stripe: whsec_…")
    .optional()
    .describe(
      "Signing secret of Stripe's webhook to `/webhooks/stripe`; unset: events are polled once a minute.",
    ),
  SLIPWAY_STRIPE_URL: z
    .url()
    .default("https://api.stripe.com")
    .describe(
      "Where Stripe's API is; another address is for tests, and must have https unless it is on loopback.",
    ),
  SLIPWAY_TOKEN_REQUESTS_PER_MINUTE: rate(3_000).describe(
    "How often one access token may call the control plane; 0 for no limit.",
  ),
  SLIPWAY_ADDRESS_REQUESTS_PER_MINUTE: rate(6_000).describe(
    "How often one address (of IPv6 a /64) may call the control plane; 0 for no limit.",
  ),
  SLIPWAY_KEY_REQUESTS_PER_MINUTE: rate(30_000).describe(
    "How often one API key, or a model's own key, may ask the gateways; 0 for no limit.",
  ),
  SLIPWAY_GATEWAY_ADDRESS_REQUESTS_PER_MINUTE: rate(60_000).describe(
    "How often one address (of IPv6 a /64) may ask the gateways; 0 for no limit.",
  ),
  SLIPWAY_TRUSTED_PROXIES: ranges.describe(
    "Addresses and ranges of reverse proxies, separated by commas, whose X-Forwarded-For names the caller.",
  ),
  SLIPWAY_PUBLIC_URL: z
    .url()
    .optional()
    .describe(
      "Where browsers and clients reach the control plane: https://host, without a path; default: its own address. People can log in only where it is https or loopback.",
    ),
  SLIPWAY_OIDC_ISSUER: z
    .url()
    .optional()
    .describe(
      "Issuer whose access tokens are let in, exactly as its metadata spells it. https, or http on loopback.",
    ),
  SLIPWAY_OIDC_AUDIENCE: z
    .string()
    .optional()
    .describe(
      "Audience that the issuer puts into access tokens for this API; needed with an issuer. Not the id of a login client.",
    ),
  SLIPWAY_OIDC_ALGORITHMS: algorithms.describe(
    `Signature algorithms that are accepted, separated by commas: some of ${SIGNING_ALGORITHMS.join(", ")}.`,
  ),
  SLIPWAY_OIDC_CLOCK_SKEW_SECONDS: seconds(60, 0, 300).describe(
    "How far the issuer's clock and ours may be apart.",
  ),
  SLIPWAY_OIDC_HOSTS: hosts.describe(
    "Hosts and ranges besides the issuer's own that its keys may be fetched from although they are private.",
  ),
  SLIPWAY_OIDC_CLIENT_ID: z
    .string()
    .optional()
    .describe(
      "The issuer's id of the public client with which `slipway login` logs in; unset: with machine tokens only.",
    ),
  SLIPWAY_OIDC_SCOPES: z
    .string()
    .default("openid offline_access")
    .describe("What `slipway login` asks the issuer for."),
  SLIPWAY_OIDC_RESOURCE: z
    .url()
    .optional()
    .describe(
      "What `slipway login` asks the issuer for as `resource` (RFC 8707), for issuers that need it to put the audience into tokens; unset: nothing.",
    ),
  SLIPWAY_ADMIN_SUBJECTS: hosts.describe(
    "Subjects of the issuer, separated by commas, that are SUPER_ADMIN whenever they call.",
  ),
  SLIPWAY_AUDIT_RETENTION_DAYS: z.coerce
    .number()
    .int()
    .min(0)
    .max(36_500)
    .refine((days) => days === 0 || days >= 30, "must be 0 or at least 30")
    .default(0)
    .describe("Events of the audit log are deleted after so many days, at least 30; 0 keeps them for ever."),
  SLIPWAY_CURRENCY: z
    .string()
    .regex(/^[A-Z]{3}$/)
    .default("USD")
    .describe("ISO 4217 code of this installation's prices and balances."),
  SLIPWAY_TERMS_VERSION: z
    .string()
    .max(100)
    .optional()
    .describe(
      "Version of the terms of use that users accept before they deploy, change or restart models or make keys; unset: nothing is asked.",
    ),
  SLIPWAY_TERMS_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe("Where those terms can be read. Needs SLIPWAY_TERMS_VERSION."),
  SLIPWAY_BALANCE_LOW: z.coerce
    .number()
    .min(0)
    .max(1_000_000)
    .default(5)
    .describe(
      "Units of the currency: when a balance falls below, its user's webhooks are told; 0 for never.",
    ),
  SLIPWAY_RUNWAY_MARKS: marks.describe(
    "When a user's money lasts for less than one of these (such as 24h, 90m), they are told once; with less than the shortest no model gets more replicas. `none` for never.",
  ),
  SLIPWAY_ADJUSTMENT_ALONE_MAX: z.coerce
    .number()
    .min(0)
    .max(1_000_000)
    .default(100)
    .describe(
      "Units of the currency that one administrator may grant or correct in balances within a day; above it another one approves. 0: always two.",
    ),
  SLIPWAY_INVOICE_SELLER_NAME: z
    .string()
    .max(200)
    .optional()
    .describe(
      "Whose name is on invoices. Once it is set, each month that is over gets its invoices; unset: none are issued.",
    ),
  SLIPWAY_INVOICE_SELLER_ADDRESS: z
    .string()
    .max(500)
    .optional()
    .describe("Address on invoices, lines separated by `|`. Needs SLIPWAY_INVOICE_SELLER_NAME."),
  SLIPWAY_INVOICE_SELLER_TAX_ID: z
    .string()
    .max(100)
    .optional()
    .describe("Tax id on invoices. Needs SLIPWAY_INVOICE_SELLER_NAME."),
  SLIPWAY_INVOICE_NOTE: z
    .string()
    .max(1_000)
    .optional()
    .describe(
      "What invoices say below their sums, such as how the price stands to taxes; lines separated by `|`. Needs SLIPWAY_INVOICE_SELLER_NAME.",
    ),
  SLIPWAY_INVOICE_SERIES: z
    .string()
    .regex(/^[A-Z0-9]{1,12}$/, "must be 1 to 12 capital letters and digits")
    .default("INV")
    .describe(
      "What invoice numbers begin with, before year and number; each series counts from 1 in each year.",
    ),
  SLIPWAY_MAIL_HOOK_URL: z
    .url()
    .optional()
    .describe("Where messages to users are posted, for whoever sends your mail; unset: no mail."),
  SLIPWAY_MAIL_HOOK_SECRET: z
    .string()
    .regex(/^whsec_[A-Za-z0-9+/]{32,}={0,2}$/, "must be whsec_ and at least 24 bytes in base64")
    .optional()
    .describe("What those posts are signed with, as Standard Webhooks says: `whsec_` and base64."),
  SLIPWAY_MAIL_HOOK_HOSTS: hosts.describe(
    "Hosts and ranges that the mail hook may be at although they are private or without https, separated by commas.",
  ),
  SLIPWAY_WEBHOOK_HOSTS: hosts.describe(
    "Hosts that users' webhooks may reach without https or at private addresses, and ranges of addresses, separated by commas.",
  ),
  SLIPWAY_LOG_LEVEL: z
    .enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"])
    .default("info")
    .describe("What goes to the log on stderr."),
  SLIPWAY_STARTER_MODEL: z
    .string()
    .optional()
    .describe("What `npm start` deploys first: a hub id, a file below an allowed folder, or builtin://tiny."),
  HF_ENDPOINT: z.url().default("https://huggingface.co").describe("Hub to fetch weights from."),
  SLIPWAY_WEIGHTS_DIRS: paths.describe("Folders that file:// weights may lie in, separated by colons."),
  SLIPWAY_WEIGHTS_CACHE_GIB: z.coerce
    .number()
    .min(1)
    .default(100)
    .describe("Bound of the shared weights cache."),
  SLIPWAY_STORAGE_BRONZE_GIB: gib(2).describe(
    "Size of the smallest tier of users' external storage on this machine's disk; 0: the tier is not offered.",
  ),
  SLIPWAY_STORAGE_SILVER_GIB: gib(10).describe("Size of the middle tier; 0: it is not offered."),
  SLIPWAY_STORAGE_GOLD_GIB: gib(50).describe("Size of the largest tier; 0: it is not offered."),
  SLIPWAY_HUB_HOSTS: hosts.describe(
    "Hosts besides the hub itself that may be reached without https or at private addresses.",
  ),
  SLIPWAY_REGION: z
    .string()
    .min(1)
    .default("local")
    .describe("Name of the on-premises region that this machine is."),
  SLIPWAY_PROVIDERS_FILE: z
    .string()
    .optional()
    .describe("JSON file of the places besides this machine: clusters and clouds. Unset: this machine only."),
  SLIPWAY_REPLICA_MEMORY_GIB: z.coerce
    .number()
    .positive()
    .default(Math.max(1, Math.floor(totalmem() / 2 ** 30 / 2)))
    .describe("Most memory that one replica on this machine may plan for."),
  SLIPWAY_ENGINE_UID: z.coerce
    .number()
    .int()
    .min(1)
    .default(65_533)
    .describe("User that local engines run as when started by root; it must own nothing else."),
  SLIPWAY_VLLM_COMMAND: z
    .string()
    .default("vllm serve")
    .describe(
      "What starts vLLM on this machine: a program on the PATH or by its full path, and its first words. Where it is not installed, weights in safetensors are refused at deploy.",
    ),
  SLIPWAY_REPLICA_LAYOUT: z
    .enum(["pack", "spread"])
    .default("pack")
    .describe(
      "Where a model's replicas go when its request leaves the place open: pack (all at the best place, others only when that has no room) or spread (over the places that cost no more than what was agreed to).",
    ),
  SLIPWAY_GPU_WINDOW_SECONDS: seconds(900, 90, 86_400).describe("Length of a prepaid window of GPU time."),
  SLIPWAY_DRAIN_MAX_SECONDS: seconds(30, 1, 3_600).describe(
    "Longest wait for running streams when a replica goes.",
  ),
  SLIPWAY_WORKER_LEASE_SECONDS: seconds(120, 6, 600).describe(
    "How long a worker holds a model; after a crash its models wait for at most as long. Longer than any call to a provider.",
  ),
});

export type Config = z.infer<typeof settings>;
