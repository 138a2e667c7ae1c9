/** Who we are to Nebius: a service account's key from a file, and the short assertion that is signed with it. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { SignJWT } from "jose";
import { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import { StatusError } from "../../base/status.ts";

export interface ServiceAccount {
  readonly id: string;
  readonly keyId: string;
  readonly key: KeyObject;
}

const fileSchema = z.object({
  "subject-credentials": z.object({
    "private-key": z.string().min(1),
    kid: z.string().min(1),
    iss: z.string().min(1),
    sub: z.string().min(1),
  }),
});

/** It is only exchanged for a token, at once. */
const ASSERTION_SECONDS = 60;
const AUDIENCE = "token-service.iam.new.nebiuscloud.net";

/** Throws CONFIG_INVALID, naming the field and never what is in the file. */
export async function readServiceAccount(file: string): Promise<ServiceAccount> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw refused("the file can't be read. Check its path and rights", cause);
  });
  const parsed = fileSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    const fields = parsed.error.issues.map((issue) => issue.path.join(".")).join(", ");
    throw refused(
      `the file is no key of a service account (${fields || "no JSON"}). Make one: nebius iam auth-public-key generate`,
    );
  }
  const { iss, sub, kid, "private-key": pem } = parsed.data["subject-credentials"];
  if (iss !== sub) throw refused("iss and sub differ. The key must be of the service account that uses it");
  return { id: iss, keyId: kid, key: keyOf(pem) };
}

function keyOf(pem: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === "rsa") return key;
  } catch {
    // What it says could hold parts of the key.
  }
  throw refused("private-key is no RSA key in PEM");
}

/** A JWT as the token exchange takes it: RS256, issued by the account about itself. */
export async function assertion(clock: Clock, { id, keyId, key }: ServiceAccount): Promise<string> {
  const seconds = Math.floor(clock.now().getTime() / 1_000);
  return new SignJWT()
    .setProtectedHeader({ alg: "RS256", typ: "JWT", kid: keyId })
    .setIssuer(id)
    .setSubject(id)
    .setAudience(AUDIENCE)
    .setIssuedAt(seconds)
    .setExpirationTime(seconds + ASSERTION_SECONDS)
    .sign(key);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refused(what: string, cause?: unknown): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message: `nebius.credentials: ${what}.`,
    ...(cause === undefined ? {} : { cause }),
  });
}
