/** Gives each claim a volume: a folder of the cluster's. The volumes' own controller binds them. */
import { join } from "node:path";
import type { KubeApi, KubeObject } from "./api.ts";

export const STORAGE_CLASS = "folder";

interface Claim extends KubeObject {
  readonly spec: {
    readonly volumeName?: string;
    readonly storageClassName?: string;
    readonly accessModes: readonly string[];
    readonly resources: { readonly requests: { readonly storage: string } };
  };
}

/** The default class of the cluster. */
export async function createStorageClass(api: KubeApi): Promise<void> {
  await api.call("POST", "/apis/storage.k8s.io/v1/storageclasses", {
    metadata: { name: STORAGE_CLASS, annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
    provisioner: "slipway.test/folder",
    reclaimPolicy: "Retain",
  });
}

/** One look: a volume for each claim of our class that has none. */
export async function provision(api: KubeApi, folder: string): Promise<void> {
  const { items } = await api.call<{ items: Claim[] }>("GET", "/api/v1/persistentvolumeclaims");
  for (const claim of items) {
    if (claim.spec.volumeName || claim.spec.storageClassName !== STORAGE_CLASS) continue;
    const name = `pv-${claim.metadata.uid}`;
    const { name: claimName, namespace, uid } = claim.metadata;
    const volume = {
      metadata: { name },
      spec: {
        capacity: { storage: claim.spec.resources.requests.storage },
        accessModes: claim.spec.accessModes,
        ...{ storageClassName: STORAGE_CLASS, persistentVolumeReclaimPolicy: "Retain" },
        hostPath: { path: join(folder, "claims", uid) },
        claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", name: claimName, namespace, uid },
      },
    };
    await api.call("POST", "/api/v1/persistentvolumes", volume).catch(() => {}); // made at an earlier look
  }
}
