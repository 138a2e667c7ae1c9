import assert from "node:assert/strict";
import { test } from "node:test";
import {
  keyScopeViolations,
  ownerOf,
  requireAppointment,
  requireCaller,
  requireRole,
  requireScope,
  requireTokenRightsOver,
  roleThrough,
  tokenScopeViolations,
} from "./access.ts";
import type { Principal, Role, User } from "./model.ts";

const ME = "11111111-1111-4111-8111-111111111111";
const OTHER = "aaaaaaaa-2222-4222-8222-222222222222";

function caller(role: Role, scopes: readonly string[] = []): Principal {
  return { userId: ME, role, tokenId: "t", scopes };
}

test("an absent userId and one's own, in any case of letters, mean the caller", () => {
  assert.equal(ownerOf(caller("USER"), ""), ME);
  assert.equal(ownerOf({ ...caller("USER"), userId: OTHER }, OTHER.toUpperCase()), OTHER);
});

test("another's userId is refused to a user and granted to administrators", () => {
  assert.throws(() => ownerOf(caller("USER"), OTHER), { code: "PERMISSION_DENIED", reason: "NOT_ALLOWED" });
  assert.equal(ownerOf(caller("ADMIN"), OTHER.toUpperCase()), OTHER);
  assert.equal(ownerOf(caller("SUPER_ADMIN"), OTHER), OTHER);
});

test("each role includes the ones below it and none above", () => {
  requireRole(caller("SUPER_ADMIN"), "ADMIN");
  requireRole(caller("ADMIN"), "ADMIN");
  assert.throws(() => requireRole(caller("USER"), "ADMIN"), { reason: "NOT_ALLOWED" });
  assert.throws(() => requireRole(caller("ADMIN"), "SUPER_ADMIN"), { reason: "NOT_ALLOWED" });
});

test("nobody asks in another administrator's name", () => {
  requireCaller(caller("USER"), "");
  requireCaller(caller("USER"), ME);
  assert.throws(() => requireCaller(caller("SUPER_ADMIN"), OTHER), { reason: "NOT_ALLOWED" });
});

test("an administrator appoints users only, a SUPER_ADMIN everybody", () => {
  requireAppointment(caller("ADMIN"), "USER");
  requireAppointment(caller("SUPER_ADMIN"), "SUPER_ADMIN");
  assert.throws(() => requireAppointment(caller("ADMIN"), "ADMIN"), { reason: "NOT_ALLOWED" });
  assert.throws(() => requireAppointment(caller("USER"), "USER"), { reason: "NOT_ALLOWED" });
});

test("nobody makes a token that may do more than its maker", () => {
  const user = (role: Role): User => ({
    id: OTHER,
    issuer: "local",
    subject: OTHER,
    role,
    platform: false,
    firstName: "",
    lastName: "",
    displayName: "",
    email: "",
    company: "",
    createdAt: new Date(0),
    disabledAt: null,
    tosAcceptedAt: null,
    tosAcceptedVersion: "",
  });
  requireTokenRightsOver(caller("ADMIN"), user("USER"));
  requireTokenRightsOver(caller("SUPER_ADMIN"), user("SUPER_ADMIN"));
  assert.throws(() => requireTokenRightsOver(caller("ADMIN"), user("SUPER_ADMIN")), {
    reason: "NOT_ALLOWED",
  });
});

test("a token without scopes may do all, read only reads, and only admin carries the user's role", () => {
  requireScope(caller("USER"), "write");
  requireScope(caller("USER", ["read"]), "read");
  requireScope(caller("USER", ["admin"]), "write");
  assert.throws(() => requireScope(caller("USER", ["read"]), "write"), { reason: "SCOPE_MISSING" });
  assert.equal(roleThrough([], "SUPER_ADMIN"), "SUPER_ADMIN");
  assert.equal(roleThrough(["read", "admin"], "ADMIN"), "ADMIN");
  assert.equal(roleThrough(["write"], "SUPER_ADMIN"), "USER");
});

test("unknown scopes are told one by one", () => {
  assert.deepEqual(tokenScopeViolations(["read", "admin"]), []);
  assert.equal(tokenScopeViolations(["root", "models:*"]).length, 2);
  assert.deepEqual(keyScopeViolations(["inference", "catalog", `model:${ME}`]), []);
  assert.equal(keyScopeViolations(["model:", "model:all", "chat"]).length, 3);
});
