import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "./config.ts";

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
