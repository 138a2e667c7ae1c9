/** What everything that the driver makes carries, so that it is found by list alone. */
import type { ReplicaKey, ReplicaName } from "../driver.ts";

const PREFIX = "slipway.dev";
export const MANAGER = "slipway";

export const LABELS = {
  managedBy: "app.kubernetes.io/managed-by",
  installation: `${PREFIX}/installation`,
  deployment: `${PREFIX}/deployment`,
  generation: `${PREFIX}/generation`,
  slot: `${PREFIX}/slot`,
  attempt: `${PREFIX}/attempt`,
  replica: `${PREFIX}/replica`,
} as const;

/** On a Secret whose replica is going: when its engine is ended, whatever it streams. */
export const KILL_AT = `${PREFIX}/kill-at`;
/** On a Secret all of whose replica was made: what is missing then was taken away, and is not made again under this name. */
export const MADE_AT = `${PREFIX}/made-at`;
/** On a Secret whose replica has nodes of its own: when they were promised. */
export const NODES_ASKED_AT = `${PREFIX}/nodes-asked-at`;
/** On a pod: the GPUs that it waits for, for sentences. */
export const WANTS = `${PREFIX}/wants`;
export const NODE_PIN = `${PREFIX}/node`;

export function labelsOf(name: ReplicaName, key: ReplicaKey): Record<string, string> {
  return {
    [LABELS.managedBy]: MANAGER,
    [LABELS.installation]: key.installationId,
    [LABELS.deployment]: key.deploymentId,
    [LABELS.generation]: String(key.generation),
    [LABELS.slot]: String(key.replica),
    [LABELS.attempt]: String(key.attempt),
    [LABELS.replica]: name,
  };
}

/** Selects everything that drivers made. */
export const MANAGED = `${LABELS.managedBy}=${MANAGER}`;

/** Selects the objects of one replica, or of several. */
export function ofReplicas(names: readonly ReplicaName[]): string {
  return `${LABELS.managedBy}=${MANAGER},${LABELS.replica} in (${names.join(",")})`;
}

export function ofInstallation(installationId: string): string {
  return `${LABELS.managedBy}=${MANAGER},${LABELS.installation}=${installationId}`;
}
