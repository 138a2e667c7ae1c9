import assert from "node:assert/strict";
import { test } from "node:test";
import type { Hardware, WeightsFacts } from "../../engines/engine.ts";
import { failureOf, vllm } from "../../engines/vllm/index.ts";
import type { ReplicaSpec } from "../driver.ts";
import { replicaName } from "../replica-name.ts";
import { kubernetesSchema } from "./config.ts";
import { type KubeObject, manifestsOf } from "./manifests.ts";
import type { KubernetesDriverOptions } from "./options.ts";

const GIB = 2 ** 30;
const KEY = {
  installationId: "0a1b2c3d-0000-4000-8000-000000000000",
  deploymentId: "d",
  generation: 2,
  replica: 0,
  attempt: 1,
};
const WEIGHTS: WeightsFacts = {
  source: "org/model",
  revision: "abc123",
  files: [{ name: "model.safetensors", sizeBytes: 8 * GIB, sha256: "" }],
  format: "safetensors",
  sizeBytes: 8 * GIB,
  architecture: "LlamaForCausalLM",
  layers: 32,
  embedding: 4_096,
  heads: 32,
  headsKv: 8,
  headSize: 128,
  contextMax: 8_192,
  vocabulary: 128_256,
  model: {
    architectures: ["LlamaForCausalLM"],
    dtype: "bfloat16",
    quantization: "",
    experts: 0,
    attention: [{ layers: 32, vectors: 16, size: 128, latent: false, window: 0 }],
  },
};
const HARDWARE: Hardware = {
  gpuType: "H100",
  gpuCount: 2,
  gpuMemoryBytes: 80 * GIB,
  cpuMemoryBytes: 64 * GIB,
  cpuCount: 16,
};
const SECRETS = { engineKey: "the-engine-key-of-this-replica", hfToken: "hf_token_of_the_owner" };

function optionsOf(change: object = {}): KubernetesDriverOptions {
  const config = kubernetesSchema.parse({
    namespace: "models",
    reach: "direct",
    engines: { vllm: { image: "registry.local/vllm:1" } },
    gpus: { H100: { nodeLabels: { "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3" } } },
    weights: { kind: "volume", storageClass: "fast" },
    pullSecrets: ["registry"],
    runtimeClass: "nvidia",
    ...change,
  });
  const engines = { vllm: { engine: vllm, failureOf } };
  return {
    provider: "ONPREM",
    region: "rack-1",
    config,
    engines,
    drainMaxSeconds: 30,
    hubEndpoint: "https://hub.example.com",
  };
}

function specOf(change: Partial<ReplicaSpec> = {}, hardware = HARDWARE): ReplicaSpec {
  return {
    key: KEY,
    name: replicaName(KEY),
    region: "rack-1",
    nodeId: "node-7",
    gpuType: "H100",
    gpuCount: hardware.gpuCount,
    weights: WEIGHTS,
    plan: vllm.plan(WEIGHTS, hardware, { kvCacheEnabled: true, cpuOffloadingEnabled: false }, {}),
    servedName: "model-$(HOME)",
    secrets: SECRETS,
    ...change,
  };
}

interface Spec {
  readonly template: Template;
  readonly egress: unknown;
  readonly leaderWorkerTemplate: {
    readonly size: number;
    readonly leaderTemplate: Template;
    readonly workerTemplate: Template;
  };
}

function specIn(object: KubeObject | undefined): Spec {
  assert.ok(object);
  return object.body.spec as Spec;
}

interface Template {
  readonly metadata: { readonly labels: object };
  readonly spec: PodSpec;
}
interface PodSpec {
  readonly [field: string]: unknown;
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
}
interface Container {
  readonly [field: string]: unknown;
  readonly command: readonly string[];
  readonly resources?: { readonly limits: object };
  readonly startupProbe: { readonly failureThreshold: number };
}

function podOf(options: KubernetesDriverOptions, spec: ReplicaSpec): PodSpec {
  const workload = manifestsOf(options, spec).rest.at(-1);
  const { template } = specIn(workload);
  return template.spec;
}

test("a replica is one object of each kind under one name, and twice the same", () => {
  const { secret, rest } = manifestsOf(optionsOf(), specOf());
  const kinds = [secret, ...rest].map((one) => one.kind);
  assert.deepEqual(kinds, [
    "Secret",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Service",
    "PodDisruptionBudget",
    "Deployment",
  ]);
  for (const one of [secret, ...rest]) assert.equal(one.body.metadata.name, replicaName(KEY));
  assert.deepEqual(manifestsOf(optionsOf(), specOf()), { secret, rest });
});

test("secrets are in the Secret and nowhere else: not in arguments, environment or annotations", () => {
  const { secret, rest } = manifestsOf(optionsOf(), specOf());
  const text = JSON.stringify(rest);
  for (const value of Object.values(SECRETS)) assert.ok(!text.includes(value));
  const data = secret.body.data as Record<string, string>;
  assert.equal(Buffer.from(data["hub-token"] ?? "", "base64").toString(), SECRETS.hfToken);
  const [engine] = podOf(optionsOf(), specOf()).containers;
  assert.ok(!JSON.stringify(engine?.env).includes("secretKeyRef"));
});

test("the pod is confined, and asks for the GPUs, the node and the rights that it needs", () => {
  const pod = podOf(optionsOf(), specOf());
  assert.equal(pod.automountServiceAccountToken, false);
  assert.equal(pod.runtimeClassName, "nvidia");
  assert.deepEqual(pod.imagePullSecrets, [{ name: "registry" }]);
  assert.deepEqual(pod.affinity, {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [
          {
            matchExpressions: [
              { key: "nvidia.com/gpu.product", operator: "In", values: ["NVIDIA-H100-80GB-HBM3"] },
              { key: "kubernetes.io/hostname", operator: "In", values: ["node-7"] },
            ],
          },
        ],
      },
    },
  });
  const [engine] = pod.containers;
  assert.deepEqual(engine?.securityContext, {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    readOnlyRootFilesystem: true,
  });
  assert.deepEqual(engine?.resources?.limits, { "nvidia.com/gpu": "2" });
});

test("the grace is longer than preStop and the longest stream together, and the start is more patient than liveness", () => {
  const pod = podOf(optionsOf(), specOf());
  assert.ok(pod.terminationGracePeriodSeconds > 5 + 30);
  const [engine] = pod.containers;
  assert.ok((engine?.startupProbe.failureThreshold ?? 0) > 60);
});

test("what a user writes is never taken for a variable by the kubelet", () => {
  const [engine] = podOf(optionsOf(), specOf()).containers;
  assert.ok(engine?.command.includes("model-$$(HOME)"));
});

test("weights of the hub are fetched at their revision; without a way out they must lie there", () => {
  const fetching = podOf(optionsOf(), specOf());
  assert.equal(fetching.initContainers?.length, 1);
  assert.ok(fetching.containers[0]?.command.includes("/models/org/model/abc123"));
  const still = optionsOf({ weights: { kind: "hostPath", path: "/srv/models" }, egress: "none" });
  const pod = podOf(still, specOf());
  assert.equal(pod.initContainers, undefined);
  assert.ok(pod.containers[0]?.command.includes("/srv/models/org/model/abc123"));
  const policy = manifestsOf(still, specOf()).rest.find((one) => one.kind === "NetworkPolicy");
  assert.deepEqual(specIn(policy).egress, []);
});

test("files of nodes are those below the region's folder; built-in weights are refused", () => {
  const still = optionsOf({ weights: { kind: "hostPath", path: "/srv/models" } });
  const file = (name: string) => ({
    ...WEIGHTS,
    source: `file://${name}`,
    files: [{ name, sizeBytes: 1, sha256: "" }],
  });
  const command = podOf(still, specOf({ weights: file("/srv/models/a/model.safetensors") })).containers[0]
    ?.command;
  assert.ok(command?.includes("/srv/models/a"));
  for (const name of ["/etc/passwd", "/srv/models/../secret", "/srv/models-of-others/x"]) {
    assert.throws(() => manifestsOf(still, specOf({ weights: file(name) })), /folder \/srv\/models only/);
  }
  assert.throws(
    () => manifestsOf(still, specOf({ weights: { ...WEIGHTS, source: "builtin://tiny" } })),
    /Built-in/,
  );
  assert.throws(
    () => manifestsOf(still, specOf({ weights: { ...WEIGHTS, source: "../up" } })),
    /can't be a folder/,
  );
});

test("a replica over several nodes is a group whose workers follow the leader", () => {
  const spec = specOf({}, { ...HARDWARE, gpuCount: 16, nodes: 2 });
  const workload = manifestsOf(optionsOf({ weights: { kind: "claim", claim: "shared" } }), spec).rest.at(-1);
  assert.equal(workload?.kind, "LeaderWorkerSet");
  const { leaderWorkerTemplate: group } = specIn(workload);
  assert.equal(group.size, 2);
  const [leader] = group.leaderTemplate.spec.containers;
  const [worker] = group.workerTemplate.spec.containers;
  for (const one of [leader, worker]) {
    assert.deepEqual(one?.resources?.limits, { "nvidia.com/gpu": "8" });
    assert.ok(one?.command.includes("$(LWS_LEADER_ADDRESS)"));
  }
  assert.ok(worker?.command.includes("--headless") && !leader?.command.includes("--headless"));
  assert.equal(worker?.startupProbe, undefined);
});

test("a slice of a GPU is asked for by its own name, on the nodes that have such slices", () => {
  const product = "NVIDIA-H100-80GB-HBM3-MIG-3g.40gb";
  const slice = {
    resource: "nvidia.com/mig-3g.40gb",
    memoryGib: 40,
    nodeLabels: { "nvidia.com/gpu.product": product },
  };
  const pod = podOf(optionsOf({ gpus: { H100: slice } }), specOf({}, { ...HARDWARE, gpuCount: 1 }));
  const engine = pod.containers.find((one) => one.name === "engine");
  assert.deepEqual(engine?.resources?.limits, { "nvidia.com/mig-3g.40gb": "1" });
  assert.match(JSON.stringify(pod.affinity), new RegExp(product));
});
