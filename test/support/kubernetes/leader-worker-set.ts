/**
 * LeaderWorkerSet for a test cluster: its kind as a plain object, and what its controller would make. The kind's own fields are
 * written from its public API (leaderworkerset.x-k8s.io/v1); the schema of its pods is the API server's own, so that they are
 * checked as strictly as a Deployment's.
 */
import type { Cluster } from "./cluster.ts";
import { until } from "./until.ts";

const GROUP = "leaderworkerset.x-k8s.io";
const PODS = "io.k8s.api.core.v1.PodTemplateSpec";

type Schema = Readonly<Record<string, unknown>>;

export async function installLeaderWorkerSet({ api }: Cluster): Promise<void> {
  const pods = await podSchema(api);
  const text = { type: "string" };
  const whole = { type: "integer", format: "int32" };
  const open = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  const template = {
    type: "object",
    required: ["workerTemplate"],
    properties: {
      leaderTemplate: pods,
      workerTemplate: pods,
      size: { ...whole, default: 1 },
      restartPolicy: { ...text, enum: ["Default", "RecreateGroupOnPodRestart", "None"], default: "Default" },
      subGroupPolicy: open,
    },
  };
  const spec = {
    type: "object",
    required: ["leaderWorkerTemplate"],
    properties: {
      replicas: { ...whole, default: 1 },
      leaderWorkerTemplate: template,
      startupPolicy: { ...text, enum: ["LeaderCreated", "LeaderReady"], default: "LeaderCreated" },
      rolloutStrategy: open,
      networkConfig: open,
    },
  };
  const metadata = { type: "object" };
  const schema = {
    type: "object",
    properties: { apiVersion: text, kind: text, metadata, spec, status: open },
  };
  const version = {
    ...{ name: "v1", served: true, storage: true, subresources: { status: {} } },
    schema: { openAPIV3Schema: schema },
  };
  const names = { kind: "LeaderWorkerSet", plural: "leaderworkersets", singular: "leaderworkerset" };
  await api.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `leaderworkersets.${GROUP}` },
    spec: { group: GROUP, scope: "Namespaced", names, versions: [version] },
  });
  const served = async () => {
    await api.call("GET", `/apis/${GROUP}/v1/leaderworkersets`);
    return true;
  };
  await until("the kind is served", served);
}

async function podSchema(api: Cluster["api"]): Promise<Schema> {
  const document = await api.call<{ components: { schemas: Record<string, Schema> } }>(
    "GET",
    "/openapi/v3/api/v1",
  );
  return inlined(document.components.schemas, { $ref: `#/components/schemas/${PODS}` }) as Schema;
}

const KEPT = ["type", "format", "enum", "required", "minimum", "maximum"];
const INT_OR_STRING = { "x-kubernetes-int-or-string": true };

/** As a custom kind may have it: without references, unions but the one that Kubernetes knows, and defaults. */
function inlined(all: Readonly<Record<string, Schema>>, schema: Schema): unknown {
  const [only] = (schema.allOf as readonly Schema[] | undefined) ?? [];
  const ref = (schema.$ref ?? only?.$ref) as string | undefined;
  if (ref !== undefined) return inlined(all, all[ref.split("/").at(-1) ?? ""] ?? {});
  if (schema.oneOf !== undefined) return INT_OR_STRING;
  const kept = Object.fromEntries(KEPT.filter((key) => key in schema).map((key) => [key, schema[key]]));
  const {
    properties,
    items,
    additionalProperties: values,
  } = schema as {
    properties?: Record<string, Schema>;
    items?: Schema;
    additionalProperties?: Schema;
  };
  if (properties) {
    const entries = Object.entries(properties).map(([name, one]) => [name, inlined(all, one)]);
    return { ...kept, properties: Object.fromEntries(entries) };
  }
  if (items) return { ...kept, items: inlined(all, items) };
  if (values) return { ...kept, additionalProperties: inlined(all, values) };
  return schema.type === "object" ? { ...kept, "x-kubernetes-preserve-unknown-fields": true } : kept;
}

interface Group {
  readonly metadata: { readonly uid: string };
  readonly spec: {
    readonly leaderWorkerTemplate: {
      readonly size: number;
      readonly leaderTemplate: PodTemplate;
      readonly workerTemplate: PodTemplate;
    };
  };
}

interface PodTemplate {
  readonly metadata: { readonly labels: object; readonly annotations?: object };
  readonly spec: { readonly containers: readonly { readonly env?: readonly object[] }[] };
}

/** What the controller does once: a pod for each part, which knows its number and its leader, and goes with the group. */
export async function startGroup({ api }: Cluster, namespace: string, name: string): Promise<void> {
  const group = await api.call<Group>(
    "GET",
    `/apis/${GROUP}/v1/namespaces/${namespace}/leaderworkersets/${name}`,
  );
  const { size, leaderTemplate, workerTemplate } = group.spec.leaderWorkerTemplate;
  for (let index = 0; index < size; index++) {
    const { metadata, spec } = index === 0 ? leaderTemplate : workerTemplate;
    const env = [
      { name: "LWS_LEADER_ADDRESS", value: `${name}-0.${name}.${namespace}` },
      { name: "LWS_GROUP_SIZE", value: String(size) },
      { name: "LWS_WORKER_INDEX", value: String(index) },
    ];
    const owner = { apiVersion: `${GROUP}/v1`, kind: "LeaderWorkerSet", name, uid: group.metadata.uid };
    const labels = {
      ...metadata.labels,
      "leaderworkerset.sigs.k8s.io/name": name,
      "leaderworkerset.sigs.k8s.io/worker-index": String(index),
    };
    await api.call("POST", `/api/v1/namespaces/${namespace}/pods`, {
      metadata: {
        ...metadata,
        labels,
        name: index === 0 ? `${name}-0` : `${name}-0-${index}`,
        ownerReferences: [{ ...owner, controller: true }],
      },
      spec: {
        ...spec,
        containers: spec.containers.map((one) => ({ ...one, env: [...env, ...(one.env ?? [])] })),
      },
    });
  }
}
