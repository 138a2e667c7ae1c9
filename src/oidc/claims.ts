import type { JWTPayload } from "jose";

/** What an issuer says of a user. "" for what it does not say. */
export interface Profile {
  readonly email: string;
  readonly displayName: string;
  readonly firstName: string;
  readonly lastName: string;
}

/** The bounds that the contract puts on the same facts when an administrator writes them. */
const EMAIL_LENGTH_MAX = 254;
const NAME_LENGTH_MAX = 200;

/** The standard claims of OpenID Connect, made harmless: other people read them in lists and terminals. */
export function profileOf(payload: JWTPayload): Profile {
  const email = plain(payload.email, EMAIL_LENGTH_MAX);
  return {
    email: /^[^\s@]+@[^\s@]+$/.test(email) ? email : "",
    displayName: plain(payload.name, NAME_LENGTH_MAX),
    firstName: plain(payload.given_name, NAME_LENGTH_MAX),
    lastName: plain(payload.family_name, NAME_LENGTH_MAX),
  };
}

/** Text without control and formatting characters; "" for what is no text or too long. */
function plain(claim: unknown, lengthMax: number): string {
  if (typeof claim !== "string") return "";
  const text = claim.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}]/gu, "").trim();
  return text.length <= lengthMax ? text : "";
}
