/** Every decision on who may do what, in one place: facts in, an answer or a StatusError out. */
import type { BaseCtx } from "../base/ctx.ts";
import { isKeyScope } from "../base/key-scopes.ts";
import { type FieldViolation, StatusError } from "../base/status.ts";
import { type Principal, ROLES, type Role, type User } from "./model.ts";

/** What an access token may be narrowed to. Each includes the ones before it; none at all means everything. */
export const TOKEN_SCOPES = ["read", "write", "admin"] as const;
type TokenScope = (typeof TOKEN_SCOPES)[number];

/** True when `role` may do at least what `needed` may. */
export function atLeast(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** The role that a user has through a token: one without the `admin` scope makes an administrator an ordinary user. */
export function roleThrough(scopes: readonly string[], role: Role): Role {
  return scopeAllows(scopes, "admin") ? role : "USER";
}

/** Throws NOT_ALLOWED unless the caller has the role. */
export function requireRole(principal: Principal, needed: Role): void {
  if (!atLeast(principal.role, needed)) throw notAllowed(`This needs the role ${needed}.`);
}

/** Throws SCOPE_MISSING unless the caller's token may be used for this: `write` for whatever changes something. */
export function requireScope(principal: Principal, needed: TokenScope): void {
  if (scopeAllows(principal.scopes, needed)) return;
  throw new StatusError({
    code: "PERMISSION_DENIED",
    reason: "SCOPE_MISSING",
    message: `The access token lacks the scope ${needed}. Use a token that has it.`,
    metadata: { scope: needed },
  });
}

/**
 * Whose resource a request is about: "" is the caller's own. Another's only for administrators; to everybody else it is
 * NOT_ALLOWED, whether that user exists or not.
 */
export function ownerOf(principal: Principal, requestedUserId: string): string {
  const requested = requestedUserId.toLowerCase();
  if (requested === "" || requested === principal.userId) return principal.userId;
  if (!atLeast(principal.role, "ADMIN")) throw notAllowed("Only administrators may act for another user.");
  return requested;
}

/**
 * Whether a caller reaches what another user may own: the owner does, and administrators. To the rest it must look as if it
 * were not there. The ctx's caller hears of it: the audit log tells of both.
 */
export function mayReach(ctx: BaseCtx, principal: Principal, ownerId: string): boolean {
  const allowed = ownerId === principal.userId || atLeast(principal.role, "ADMIN");
  ctx.caller?.reached(ownerId, allowed);
  return allowed;
}

/** For requests that name the one who asks: only the caller may be named, whatever the role. */
export function requireCaller(principal: Principal, namedUserId: string): void {
  if (namedUserId === "" || namedUserId.toLowerCase() === principal.userId) return;
  throw notAllowed("The user who asks must be the token's own user.");
}

/** A token acts as its user, so nobody hands out or takes away tokens of somebody who may do more. */
export function requireTokenRightsOver(principal: Principal, user: User): void {
  if (!atLeast(principal.role, user.role)) {
    throw notAllowed(`Tokens of a ${user.role} are made and revoked by a ${user.role} only.`);
  }
}

/** A user is disabled and enabled by who ranks no lower. Throws NOT_ALLOWED. */
export function requireAbilityRightsOver(principal: Principal, user: User): void {
  if (!atLeast(principal.role, user.role)) {
    throw notAllowed(`A ${user.role} is disabled and enabled by a ${user.role} only.`);
  }
}

/** A profile is changed by its user, and by administrators who rank no lower. Throws NOT_ALLOWED. */
export function requireProfileRightsOver(principal: Principal, user: User): void {
  if (user.id === principal.userId || atLeast(principal.role, user.role)) return;
  throw notAllowed(`The profile of a ${user.role} is changed by a ${user.role} only.`);
}

/** Administrators are appointed by a SUPER_ADMIN; ordinary users may be made by every administrator. */
export function requireAppointment(principal: Principal, role: Role): void {
  requireRole(principal, role === "USER" ? "ADMIN" : "SUPER_ADMIN");
}

/** Rules of a token's scopes. */
export function tokenScopeViolations(scopes: readonly string[]): readonly FieldViolation[] {
  return scopes
    .filter((scope) => !isTokenScope(scope))
    .map((scope) => ({
      field: "scopes",
      description: `${JSON.stringify(scope)} is none of ${TOKEN_SCOPES.join(", ")}`,
    }));
}

/** Rules of an inference key's scopes. */
export function keyScopeViolations(scopes: readonly string[]): readonly FieldViolation[] {
  return scopes
    .filter((scope) => !isKeyScope(scope))
    .map((scope) => ({
      field: "scopes",
      description: `${JSON.stringify(scope)} is none of inference, catalog, model:<modelId>`,
    }));
}

/** The answer to everything that the caller may not do or may not know of. */
export function notAllowed(why: string): StatusError {
  return new StatusError({ code: "PERMISSION_DENIED", reason: "NOT_ALLOWED", message: why });
}

function scopeAllows(scopes: readonly string[], needed: TokenScope): boolean {
  if (scopes.length === 0) return true;
  return TOKEN_SCOPES.slice(TOKEN_SCOPES.indexOf(needed)).some((scope) => scopes.includes(scope));
}

function isTokenScope(scope: string): scope is TokenScope {
  return TOKEN_SCOPES.some((known) => known === scope);
}
