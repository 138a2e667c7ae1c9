import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "./config.ts";
import { invoicesOf } from "./domain-deps.ts";

test("trusted proxies are addresses and ranges; anything else is refused by the setting's name", () => {
  const given = "127.0.0.1, 10.0.0.0/8,2001:db8::/32";
  assert.deepEqual(loadConfig({ SLIPWAY_TRUSTED_PROXIES: given }).SLIPWAY_TRUSTED_PROXIES, [
    "127.0.0.1",
    "10.0.0.0/8",
    "2001:db8::/32",
  ]);
  for (const wrong of ["proxy.example.com", "10.0.0.0/33", "10.0.0.0/8/8", "10.0.0"]) {
    assert.throws(() => loadConfig({ SLIPWAY_TRUSTED_PROXIES: wrong }), /SLIPWAY_TRUSTED_PROXIES/, wrong);
  }
});

test("all that is wrong is told at once", () => {
  assert.throws(
    () => loadConfig({ SLIPWAY_PORT: "70000", SLIPWAY_TOKEN_REQUESTS_PER_MINUTE: "-1" }),
    /SLIPWAY_PORT.*SLIPWAY_TOKEN_REQUESTS_PER_MINUTE/,
  );
});

test("an issuer needs an audience and an address that nobody can forge", () => {
  const issuer = { SLIPWAY_OIDC_ISSUER: "https://login.example.com", SLIPWAY_OIDC_AUDIENCE: "api" };
  assert.deepEqual(loadConfig(issuer).SLIPWAY_OIDC_ALGORITHMS, ["RS256", "PS256", "ES256", "EdDSA"]);
  loadConfig({ ...issuer, SLIPWAY_OIDC_ISSUER: "http://127.0.0.1:9000/realm" });
  for (const [name, wrong] of [
    ["SLIPWAY_OIDC_AUDIENCE", { ...issuer, SLIPWAY_OIDC_AUDIENCE: "" }],
    ["SLIPWAY_OIDC_ISSUER", { ...issuer, SLIPWAY_OIDC_ISSUER: "http://login.example.com" }],
    ["SLIPWAY_OIDC_ISSUER", { ...issuer, SLIPWAY_OIDC_ISSUER: "https://login.example.com/?a=1" }],
    ["SLIPWAY_OIDC_ISSUER", { SLIPWAY_OIDC_AUDIENCE: "api" }],
    ["SLIPWAY_OIDC_ALGORITHMS", { ...issuer, SLIPWAY_OIDC_ALGORITHMS: "RS256,HS256" }],
    ["SLIPWAY_OIDC_ALGORITHMS", { ...issuer, SLIPWAY_OIDC_ALGORITHMS: "none" }],
    ["SLIPWAY_OIDC_ISSUER", { SLIPWAY_OIDC_CLIENT_ID: "cli" }],
    ["SLIPWAY_PUBLIC_URL", { SLIPWAY_PUBLIC_URL: "https://slipway.example.com/below" }],
    ["SLIPWAY_PUBLIC_URL", { SLIPWAY_PUBLIC_URL: "ftp://slipway.example.com" }],
  ] as const) {
    assert.throws(() => loadConfig(wrong), new RegExp(name), JSON.stringify(wrong));
  }
});

test("an address of terms without their version is refused, since nobody would be asked", () => {
  const url = "https://example.com/terms";
  assert.throws(() => loadConfig({ SLIPWAY_TERMS_URL: url }), /SLIPWAY_TERMS_VERSION/);
  assert.throws(
    () => loadConfig({ SLIPWAY_TERMS_VERSION: "1", SLIPWAY_TERMS_URL: "javascript:x" }),
    /SLIPWAY_TERMS_URL/,
  );
  assert.equal(loadConfig({ SLIPWAY_TERMS_VERSION: "1", SLIPWAY_TERMS_URL: url }).SLIPWAY_TERMS_VERSION, "1");
});

test("an address of a seller without a name is refused, since no invoice would have it; a series is capital letters and digits", () => {
  assert.throws(
    () => loadConfig({ SLIPWAY_INVOICE_SELLER_ADDRESS: "1 Pier|Harbour" }),
    /SLIPWAY_INVOICE_SELLER_NAME/,
  );
  assert.throws(() => loadConfig({ SLIPWAY_INVOICE_SERIES: "a-b" }), /SLIPWAY_INVOICE_SERIES/);
  const config = loadConfig({
    SLIPWAY_INVOICE_SELLER_NAME: "S",
    SLIPWAY_INVOICE_SELLER_ADDRESS: "1 Pier | Harbour",
  });
  assert.deepEqual(invoicesOf(config), {
    ...{ name: "S", series: "INV", address: "1 Pier\nHarbour", taxId: "", note: "" },
  });
  assert.equal(invoicesOf(loadConfig({})), null);
});
