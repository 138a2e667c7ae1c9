/** Nodes of the test kubelet: registered, and alive as long as their lease is renewed. */
import { type KubeApi, KubeError } from "./api.ts";

export interface TestNode {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Beside plenty of CPU, memory and pods: `{ "nvidia.com/gpu": "4" }`. */
  readonly capacity?: Readonly<Record<string, string>>;
  readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: string }[];
}

const PLENTY = { cpu: "64", memory: "512Gi", pods: "110", "ephemeral-storage": "1Ti" };

export async function registerNode(api: KubeApi, node: TestNode, logPort: number): Promise<void> {
  const labels = {
    "kubernetes.io/hostname": node.name,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
  };
  await api.call("POST", "/api/v1/nodes", {
    metadata: { name: node.name, labels: { ...labels, ...node.labels } },
    spec: { taints: node.taints ?? [] },
  });
  await beat(api, node, logPort);
  const lease = {
    metadata: { name: node.name, namespace: "kube-node-lease" },
    spec: { holderIdentity: node.name, leaseDurationSeconds: 40, renewTime: microTime() },
  };
  await api.call("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", lease);
}

/** Says that the node is well. */
export async function beat(api: KubeApi, node: TestNode, logPort: number): Promise<void> {
  const capacity = { ...PLENTY, ...node.capacity };
  const at = new Date().toISOString();
  const condition = { lastHeartbeatTime: at, lastTransitionTime: at };
  const calm = ["MemoryPressure", "DiskPressure", "PIDPressure"].map((type) => ({
    ...condition,
    type,
    status: "False",
  }));
  const status = {
    ...{ capacity, allocatable: capacity },
    conditions: [
      ...calm,
      { ...condition, type: "Ready", status: "True", reason: "KubeletReady", message: "ready" },
    ],
    addresses: [
      { type: "InternalIP", address: "127.0.0.1" },
      { type: "Hostname", address: node.name },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: logPort } },
    nodeInfo: { ...NODE_INFO, machineID: node.name, systemUUID: node.name, bootID: node.name },
  };
  await api.call(
    "PATCH",
    `/api/v1/nodes/${node.name}/status`,
    { status },
    "application/strategic-merge-patch+json",
  );
}

const NODE_INFO = {
  ...{ architecture: "amd64", operatingSystem: "linux", osImage: "test", kernelVersion: "test" },
  ...{ containerRuntimeVersion: "test://1", kubeletVersion: "v1.37.2", kubeProxyVersion: "" },
};

export async function renewLease(api: KubeApi, name: string): Promise<void> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${name}`;
  const body = { spec: { renewTime: microTime() } };
  await api.call("PATCH", path, body, "application/merge-patch+json").catch((error: unknown) => {
    if (!(error instanceof KubeError)) throw error;
  });
}

function microTime(): string {
  return new Date().toISOString().replace("Z", "000Z");
}
