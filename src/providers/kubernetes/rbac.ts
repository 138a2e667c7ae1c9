/** The rights that the driver needs, and no more: what it calls is listed here, and a test on a real cluster holds it to that. */

export interface Right {
  readonly group: string;
  readonly resource: string;
  readonly verbs: readonly string[];
  /** In the whole cluster rather than in the namespace. */
  readonly everywhere?: boolean;
  /** Only counted better with it; the driver does without. */
  readonly optional?: boolean;
}

const APPLY = ["create", "patch"];

export const RIGHTS: readonly Right[] = [
  { group: "", resource: "secrets", verbs: ["get", "list", "watch", ...APPLY, "delete"] },
  { group: "", resource: "services", verbs: APPLY },
  { group: "", resource: "persistentvolumeclaims", verbs: APPLY },
  { group: "", resource: "pods", verbs: ["list", "watch", "delete"] },
  { group: "", resource: "pods/log", verbs: ["get"] },
  { group: "", resource: "events", verbs: ["list"] },
  { group: "apps", resource: "deployments", verbs: ["list", "watch", ...APPLY, "delete"] },
  {
    group: "leaderworkerset.x-k8s.io",
    resource: "leaderworkersets",
    verbs: ["list", "watch", ...APPLY, "delete"],
  },
  { group: "networking.k8s.io", resource: "networkpolicies", verbs: APPLY },
  { group: "policy", resource: "poddisruptionbudgets", verbs: APPLY },
  { group: "", resource: "nodes", verbs: ["list"], everywhere: true },
  { group: "", resource: "pods", verbs: ["list"], everywhere: true, optional: true },
  { group: "storage.k8s.io", resource: "storageclasses", verbs: ["list"], everywhere: true, optional: true },
];

/** Objects to apply as an administrator: a service account, its roles and their bindings. */
export function rbac(namespace: string, account = "slipway"): readonly object[] {
  const subjects = [{ kind: "ServiceAccount", name: account, namespace }];
  const name = `${account}-replicas`;
  const clusterName = `${name}-${namespace}`;
  const api = "rbac.authorization.k8s.io/v1";
  const role = (kind: string) => ({ apiGroup: "rbac.authorization.k8s.io", kind });
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: account, namespace } },
    { apiVersion: api, kind: "Role", metadata: { name, namespace }, rules: rulesOf(false) },
    {
      apiVersion: api,
      kind: "RoleBinding",
      metadata: { name, namespace },
      subjects,
      roleRef: { ...role("Role"), name },
    },
    { apiVersion: api, kind: "ClusterRole", metadata: { name: clusterName }, rules: rulesOf(true) },
    {
      apiVersion: api,
      kind: "ClusterRoleBinding",
      metadata: { name: clusterName },
      subjects,
      roleRef: { ...role("ClusterRole"), name: clusterName },
    },
  ];
}

function rulesOf(everywhere: boolean): readonly object[] {
  return RIGHTS.filter((right) => (right.everywhere ?? false) === everywhere).map((right) => ({
    apiGroups: [right.group],
    resources: [right.resource],
    verbs: right.verbs,
  }));
}
