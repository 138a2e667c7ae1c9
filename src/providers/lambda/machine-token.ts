/** What opens a machine, and what the machine itself knows of it. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { ReplicaName } from "../driver.ts";

/** Sent to a machine whose certificate is proven, and nowhere else. The same in every worker. */
export function machineToken(machineKey: Buffer, name: ReplicaName): string {
  return createHmac("sha256", machineKey).update(`machine:${name}`).digest("hex");
}

/** Goes with the user data: enough to know the token when it is shown, and not to show it. */
export function tokenHash(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

/** True when `proof` was made by who knows the token's hash, for this nonce and this certificate. */
export function isProof(
  token: string,
  { nonce, certificateSha256, proof }: { nonce: Buffer; certificateSha256: string; proof: string },
): boolean {
  const wanted = createHmac("sha256", Buffer.from(tokenHash(token), "hex"))
    .update(Buffer.concat([nonce, Buffer.from(certificateSha256, "hex")]))
    .digest();
  const shown = Buffer.from(proof, "hex");
  return shown.length === wanted.length && timingSafeEqual(shown, wanted);
}
