import { randomBytes, randomUUID } from "node:crypto";

/** Chance is handed in: production draws from the kernel, simulations from a seed. */
export interface Random {
  uuid(): string;
  bytes(count: number): Buffer;
}

export const systemRandom: Random = { uuid: () => randomUUID(), bytes: (count) => randomBytes(count) };
