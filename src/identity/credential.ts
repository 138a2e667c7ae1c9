import { sha256 } from "../base/id.ts";
import type { Random } from "../base/random.ts";

/** Beginnings of secrets, so that people and secret scanners know one when they see it. */
export const ACCESS_TOKEN_PREFIX = "swt_";
export const INFERENCE_KEY_PREFIX = "sk-";
const INVITATION_PREFIX = "swi_";

/** 256 bits: guessing one is hopeless, so a plain hash is enough at rest and no rate limit has to protect it. */
const SECRET_BYTES = 32;
/** Characters kept in clear to tell secrets apart: the beginning and at most five of the 43 random characters. */
const SHOWN_LENGTH = 9;
/** Longest text that is looked at as a token or key. */
const CREDENTIAL_LENGTH_MAX = 512;

/** A secret that was just made: shown to its user once, kept as a hash. */
export interface NewCredential {
  readonly secret: string;
  readonly hash: Buffer;
  /** First characters of the secret. */
  readonly prefix: string;
}

export function newAccessToken(random: Random): NewCredential {
  return credential(ACCESS_TOKEN_PREFIX, random);
}

export function newInferenceKey(random: Random): NewCredential {
  return credential(INFERENCE_KEY_PREFIX, random);
}

/** A code that sets a password once. */
export function newInvitationCode(random: Random): NewCredential {
  return credential(INVITATION_PREFIX, random);
}

/** False for what can't be a token of ours: no need to hash it or to ask the database. */
export function looksLikeAccessToken(text: string): boolean {
  return text.startsWith(ACCESS_TOKEN_PREFIX) && text.length <= CREDENTIAL_LENGTH_MAX;
}

/**
 * What a secret is kept and looked up by. Looking up the hash, not the secret, keeps timing harmless: how far two
 * hashes agree says nothing about how to guess the secret.
 */
export function credentialHash(secret: string): Buffer {
  return sha256(secret);
}

function credential(beginning: string, random: Random): NewCredential {
  const secret = `${beginning}${random.bytes(SECRET_BYTES).toString("base64url")}`;
  return { secret, hash: credentialHash(secret), prefix: secret.slice(0, SHOWN_LENGTH) };
}
