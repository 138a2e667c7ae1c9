import { type FieldViolation, invalidArgument } from "../../base/status.ts";

/** Long enough that guessing within the limits of attempts is hopeless; no rules of composition, which make passwords worse. */
const LENGTH_MIN = 12;
/** Bounds the work of one hash. */
const LENGTH_MAX = 200;
const DIFFERENT_MIN = 5;

/** Throws INVALID_FIELD unless the password may be used by whoever logs in as `login`. */
export function requireGoodPassword(password: string, login: string): void {
  const violations = problems(password, login).map(
    (description): FieldViolation => ({ field: "password", description }),
  );
  if (violations.length > 0) throw invalidArgument(violations);
}

function problems(password: string, login: string): readonly string[] {
  const characters = [...password];
  if (characters.length < LENGTH_MIN)
    return [`must have at least ${LENGTH_MIN} characters; several words are good`];
  if (characters.length > LENGTH_MAX) return [`must have at most ${LENGTH_MAX} characters`];
  if (new Set(characters).size < DIFFERENT_MIN) return ["repeats the same few characters"];
  const name = login.split("@")[0] ?? "";
  const lower = password.toLowerCase();
  if (lower.includes(login) || (name.length > 3 && lower.replace(name, "").length < LENGTH_MIN / 2)) {
    return ["must not be made of your address"];
  }
  return [];
}
