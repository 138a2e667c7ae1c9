/** Where the wire's words for users, keys and tokens meet ours. */
import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  AccessTokenSchema,
  type AccessToken as WireAccessToken,
} from "../../gen/slipway/identity/v1/admin_identity_service_pb.js";
import {
  ApiKeySchema,
  AuthProvider,
  TermsSchema,
  UserRole,
  UserSchema,
  type ApiKey as WireApiKey,
  type Terms as WireTerms,
  type User as WireUser,
} from "../../gen/tensormesh/user/v1/user_pb.js";
import { type AccessToken, type ApiKey, LOCAL_ISSUER, type Role, type User } from "./model.ts";
import { hasAccepted, type Terms } from "./terms.ts";

const ROLE_TO_WIRE: Readonly<Record<Role, UserRole>> = {
  USER: UserRole.USER,
  ADMIN: UserRole.ADMIN,
  SUPER_ADMIN: UserRole.SUPER_ADMIN,
};

/** The role that a request names; USER where it names none. The edge has refused undefined values. */
export function roleFromWire(role: UserRole): Role {
  if (role === UserRole.ADMIN) return "ADMIN";
  return role === UserRole.SUPER_ADMIN ? "SUPER_ADMIN" : "USER";
}

/** Fields that stay empty are facts that nobody keeps here (pictures, surveys) or that are never shown twice (keys). */
export function userToWire(user: User, stripeCusId = ""): WireUser {
  return create(UserSchema, {
    id: user.id,
    firstName: user.firstName,
    lastName: user.lastName,
    displayName: user.displayName,
    userEmail: user.email,
    authProvider: user.issuer === LOCAL_ISSUER ? AuthProvider.LOCAL : AuthProvider.OIDC,
    authProviderId: user.subject,
    stripeCusId,
    company: user.company,
    userRole: ROLE_TO_WIRE[user.role],
    createdAt: timestampFromDate(user.createdAt),
    tosAcceptedVersion: user.tosAcceptedVersion,
    ...optional("tosAcceptedAt", user.tosAcceptedAt),
    ...optional("disabledAt", user.disabledAt),
  });
}

/** `secret` only in the answer that makes the key. */
export function apiKeyToWire(key: ApiKey, secret = ""): WireApiKey {
  return create(ApiKeySchema, {
    id: key.id,
    name: key.name,
    scopes: [...key.scopes],
    createdAt: timestampFromDate(key.createdAt),
    secret,
    prefix: key.prefix,
    ...optional("expiresAt", key.expiresAt),
    ...optional("deletedAt", key.deletedAt),
    ...optional("lastUsedAt", key.lastUsedAt),
    ...optional("rotatedAt", key.rotatedAt),
    ...optional("previousSecretEndsAt", key.previousSecretEndsAt),
  });
}

/** What the user is asked to accept; undefined where the installation has no terms. */
export function termsToWire(terms: Terms | undefined, user: User): WireTerms | undefined {
  if (terms === undefined) return undefined;
  return create(TermsSchema, { ...terms, accepted: hasAccepted(terms, user) });
}

export function accessTokenToWire(token: AccessToken): WireAccessToken {
  return create(AccessTokenSchema, {
    accessTokenId: token.id,
    userId: token.userId,
    name: token.name,
    prefix: token.prefix,
    scopes: [...token.scopes],
    createdAt: timestampFromDate(token.createdAt),
    ...optional("expiresAt", token.expiresAt),
    ...optional("revokedAt", token.revokedAt),
    ...optional("lastUsedAt", token.lastUsedAt),
  });
}

/** Absent is null: never. */
export function dateFromWire(timestamp: Timestamp | undefined): Date | null {
  return timestamp === undefined ? null : timestampDate(timestamp);
}

function optional<N extends string>(name: N, date: Date | null): { [K in N]?: Timestamp } {
  const given: { [K in N]?: Timestamp } = {};
  if (date !== null) given[name] = timestampFromDate(date);
  return given;
}
