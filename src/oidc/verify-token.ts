import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  jwtVerify,
  type ProtectedHeaderParameters,
} from "jose";
import type { BaseCtx } from "../base/ctx.ts";
import { StatusError } from "../base/status.ts";
import { type Profile, profileOf } from "./claims.ts";
import type { IssuerKeys } from "./issuer-keys.ts";

/** What a token must be. */
export interface TokenRules {
  readonly issuer: string;
  readonly audience: string;
  readonly algorithms: readonly string[];
  /** How far the issuer's clock and ours may be apart. */
  readonly clockSkewMs: number;
}

/** What a token that holds says. */
export interface VerifiedToken {
  readonly subject: string;
  readonly expiresAt: Date;
  /** `read`, `write`, `admin`; none means all. */
  readonly scopes: readonly string[];
  readonly profile: Profile;
  /** The login that it came from, where its issuer says (`sid`); "" otherwise. */
  readonly loginId: string;
}

/** Kinds of JWT that are access tokens (RFC 9068), or do not say what they are. */
const ACCESS_TOKEN_TYPES = new Set(["at+jwt", "application/at+jwt", "jwt"]);
/** OpenID Connect bounds a subject at 255 characters. */
const SUBJECT_LENGTH_MAX = 255;
/** Longer ones don't fit the headers of most servers either. */
const TOKEN_LENGTH_MAX = 8_192;
const SCOPE_PREFIX = "slipway:";

/** True for what has the form of a signed JWT: three parts of base64url. */
export function looksLikeJwt(text: string): boolean {
  return text.length <= TOKEN_LENGTH_MAX && /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text);
}

/**
 * Checks an access token whole. Throws TOKEN_INVALID or TOKEN_EXPIRED with what is wrong and never a piece of the token, and
 * UNAVAILABLE while the issuer's keys can't be had.
 */
export async function verifyToken(
  ctx: BaseCtx,
  token: string,
  { rules, keys }: { readonly rules: TokenRules; readonly keys: IssuerKeys },
): Promise<VerifiedToken> {
  requireOurKind(token, rules);
  try {
    const { payload } = await jwtVerify(token, keys.finder(ctx), {
      issuer: rules.issuer,
      audience: rules.audience,
      algorithms: [...rules.algorithms],
      clockTolerance: rules.clockSkewMs / 1_000,
      currentDate: ctx.clock.now(),
      requiredClaims: ["exp", "sub"],
    });
    return verified(payload);
  } catch (error) {
    throw refusal(error, rules);
  }
}

/** What can be told without a key, told first: a token from elsewhere must not make us fetch keys. */
function requireOurKind(token: string, rules: TokenRules): void {
  const { header, payload } = unverified(token);
  const type = header.typ?.toLowerCase();
  if (type !== undefined && !ACCESS_TOKEN_TYPES.has(type))
    throw invalid("It is a JWT of another kind than an access token.");
  if (!rules.algorithms.includes(header.alg ?? "")) {
    throw invalid(`It is not signed by one of the algorithms ${rules.algorithms.join(", ")}.`);
  }
  if (payload.iss !== rules.issuer) throw invalid(`It is not from the issuer ${rules.issuer}.`);
  if (payload.cnf !== undefined)
    throw invalid("It is bound to a key (DPoP or mutual TLS), which is not supported.");
}

function unverified(token: string): { header: ProtectedHeaderParameters; payload: JWTPayload } {
  if (looksLikeJwt(token)) {
    try {
      return { header: decodeProtectedHeader(token), payload: decodeJwt(token) };
    } catch {
      // Told below, without the decoder's words: they may quote the token.
    }
  }
  throw invalid("It is neither a machine token nor a signed JWT.");
}

function verified(payload: JWTPayload): VerifiedToken {
  const { sub, exp } = payload;
  if (typeof sub !== "string" || sub === "" || sub.length > SUBJECT_LENGTH_MAX || exp === undefined) {
    throw invalid(`Its subject must have 1 to ${SUBJECT_LENGTH_MAX} characters.`);
  }
  return {
    subject: sub,
    expiresAt: new Date(exp * 1_000),
    scopes: scopesOf(payload.scope),
    profile: profileOf(payload),
    loginId: typeof payload.sid === "string" ? payload.sid : "",
  };
}

/** Scopes of ours; others are the issuer's business. */
function scopesOf(claim: unknown): readonly string[] {
  const all = typeof claim === "string" ? claim.split(" ") : Array.isArray(claim) ? claim.map(String) : [];
  return ["read", "write", "admin"].filter((scope) => all.includes(SCOPE_PREFIX + scope));
}

/** jose's errors carry the token's claims, so none of them becomes a cause: causes are logged. */
function refusal(error: unknown, rules: TokenRules): unknown {
  if (error instanceof StatusError) return error;
  if (error instanceof errors.JWTExpired) {
    return new StatusError({
      code: "UNAUTHENTICATED",
      reason: "TOKEN_EXPIRED",
      message: "The access token has expired. Refresh it, or log in again (`slipway login`).",
    });
  }
  if (error instanceof errors.JWTClaimValidationFailed) return invalid(claimProblem(error.claim, rules));
  if (error instanceof errors.JWKSNoMatchingKey) {
    return invalid(`It is signed by a key that ${rules.issuer} does not publish.`);
  }
  if (error instanceof errors.JOSEError) return invalid("Its signature does not hold.");
  return error;
}

function claimProblem(claim: string, rules: TokenRules): string {
  if (claim === "aud") return `It is for another audience than ${rules.audience}.`;
  if (claim === "nbf") return "It is not valid yet; the clocks may be apart.";
  return `Its claim ${claim} is missing or wrong.`;
}

function invalid(why: string): StatusError {
  return new StatusError({
    code: "UNAUTHENTICATED",
    reason: "TOKEN_INVALID",
    message: `The access token is refused. ${why} Log in again (\`slipway login\`), or use a machine token.`,
  });
}
