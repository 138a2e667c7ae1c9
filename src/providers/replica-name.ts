import { createHash } from "node:crypto";
import type { ReplicaKey, ReplicaName } from "./driver.ts";

/** The provider-side name of one attempt: the same key always gives the same name (DNS-1123, 28 characters). */
export function replicaName(key: ReplicaKey): ReplicaName {
  const hash = createHash("sha256")
    .update([key.deploymentId, key.generation, key.replica, key.attempt].join("/"))
    .digest("hex")
    .slice(0, 16);
  return `${installationPrefix(key.installationId)}${hash}`;
}

/** What every name of one installation begins with. */
export function installationPrefix(installationId: string): string {
  return `sw-${installationId.replaceAll("-", "").slice(0, 8)}-`;
}
