import { sha256 } from "../base/id.ts";

/** Longest that an access token holds. */
export const ACCESS_TOKEN_S = 600;
/** How long after a login's end its access tokens could still hold: their life, and the most that clocks may be apart. */
export const ENDED_KEPT_MS = (ACCESS_TOKEN_S + 300) * 1_000;

/** What access tokens say of the login that they came from: not the grant's id, which the library knows it by. */
export function loginIdOf(grantId: string): string {
  return hashOfGrant(grantId).toString("base64url");
}

export function hashOfGrant(grantId: string): Buffer {
  return sha256(grantId);
}
