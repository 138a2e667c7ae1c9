import { createHmac } from "node:crypto";

/** Accounts whose salt is remembered; computing one again costs microseconds. */
const REMEMBERED_MAX = 10_000;

/** Tenants of one model never share a prefix: each account's cache has its own salt, and none can be guessed. */
export class Salts {
  readonly #key: Buffer;
  readonly #known = new Map<string, string>();

  constructor(key: Buffer) {
    this.#key = key;
  }

  of(userId: string): string {
    const known = this.#known.get(userId);
    if (known !== undefined) return known;
    const salt = createHmac("sha256", this.#key).update(userId).digest("base64url");
    if (this.#known.size >= REMEMBERED_MAX) this.#known.clear();
    this.#known.set(userId, salt);
    return salt;
  }
}
