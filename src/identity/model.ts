/** Who asks: users, the tokens by which they ask the control plane, the keys by which they ask for inference. */

/** What a user may do, from least to most. */
export const ROLES = ["USER", "ADMIN", "SUPER_ADMIN"] as const;
export type Role = (typeof ROLES)[number];

/** The issuer of users that this installation made itself. */
export const LOCAL_ISSUER = "local";

export interface User {
  /** UUID, lower case. */
  readonly id: string;
  /** Who vouches for the user: LOCAL_ISSUER or an OIDC issuer's URL. With `subject` it is who the user is. */
  readonly issuer: string;
  readonly subject: string;
  readonly role: Role;
  /** The account that owns what this installation itself serves; at most one user is it. */
  readonly platform: boolean;
  readonly firstName: string;
  readonly lastName: string;
  readonly displayName: string;
  /** "" when unknown. Not unique, and never decides who somebody is. */
  readonly email: string;
  readonly company: string;
  readonly createdAt: Date;
  /** Null while enabled. */
  readonly disabledAt: Date | null;
  /** When terms of use were last accepted; null until then. */
  readonly tosAcceptedAt: Date | null;
  /** Which version; "" until then, and where the installation named none. */
  readonly tosAcceptedVersion: string;
}

/** The caller of an operation, as its token says. */
export interface Principal {
  readonly userId: string;
  /** What the caller may do now: the user's role, or USER where the token's scopes leave out `admin`. */
  readonly role: Role;
  /** Id of the machine token that was shown, or `jwt:<userId>` for the tokens of an issuer. */
  readonly tokenId: string;
  /** Scopes of the token; none means all. */
  readonly scopes: readonly string[];
}

/** A token for the control plane, without the token itself. */
export interface AccessToken {
  readonly id: string;
  readonly userId: string;
  readonly name: string;
  /** First characters of the token. */
  readonly prefix: string;
  readonly scopes: readonly string[];
  readonly createdAt: Date;
  /** Null for never. */
  readonly expiresAt: Date | null;
  /** Null while it holds. */
  readonly revokedAt: Date | null;
  /** To the minute; null until first used. */
  readonly lastUsedAt: Date | null;
}

/** A key for inference, without the key itself. */
export interface ApiKey {
  readonly id: string;
  readonly userId: string;
  readonly name: string;
  readonly prefix: string;
  readonly scopes: readonly string[];
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  /** Null while it holds. */
  readonly deletedAt: Date | null;
  readonly lastUsedAt: Date | null;
  /** When its secret was last replaced; null until then. */
  readonly rotatedAt: Date | null;
  /** Until when the secret before it opens, or opened; null where none outlived its replacement. */
  readonly previousSecretEndsAt: Date | null;
}

/** What the gateway needs to know of a key that was shown to it. */
export interface InferenceKey {
  readonly keyId: string;
  readonly userId: string;
  /** `inference`, `catalog`, `model:<modelId>`; none means all inference. */
  readonly scopes: readonly string[];
  readonly expiresAt: Date | null;
  /** The key's user may do nothing. */
  readonly disabled: boolean;
}
