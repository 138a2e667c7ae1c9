/** A pod's volumes as folders of real files on this machine. */
import { chmod, chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type KubeApi, KubeError } from "./api.ts";
import type { Items, Pod, ProjectedSource, Volume } from "./pod-types.ts";

/** What fails here shows as FailedMount, and is tried again. */
export class MountError extends Error {
  override readonly name = "MountError";
}

export interface VolumeContext {
  readonly api: KubeApi;
  readonly pod: Pod;
  readonly podIp: string;
  /** The pod's own folder. */
  readonly folder: string;
  /** Where the node keeps its hostPath volumes, apart from this machine's own paths. */
  readonly nodeFolder: string;
}

/** Folder of each volume by its name, filled. */
export async function mountVolumes(ctx: VolumeContext): Promise<ReadonlyMap<string, string>> {
  const folders = new Map<string, string>();
  for (const volume of ctx.pod.spec.volumes ?? []) folders.set(volume.name, await mountVolume(ctx, volume));
  return folders;
}

async function mountVolume(ctx: VolumeContext, volume: Volume): Promise<string> {
  if (volume.persistentVolumeClaim) return claimFolder(ctx, volume.persistentVolumeClaim.claimName);
  if (volume.hostPath) return makeFolder(join(ctx.nodeFolder, "host", volume.hostPath.path), 0o777);
  const folder = await makeFolder(join(ctx.folder, "volumes", volume.name), 0o777);
  const { secret, configMap, downwardAPI, projected } = volume;
  if (secret) await writeKeys(ctx, folder, "secrets", secret.secretName, secret);
  if (configMap) await writeKeys(ctx, folder, "configmaps", configMap.name, configMap);
  if (downwardAPI) await writeSource(ctx, folder, { downwardAPI }, undefined);
  for (const source of projected?.sources ?? []) {
    await writeSource(ctx, folder, source, projected?.defaultMode);
  }
  const group = ctx.pod.spec.securityContext?.fsGroup;
  if (group !== undefined) await chown(folder, 0, group);
  return folder;
}

async function makeFolder(folder: string, mode: number): Promise<string> {
  await mkdir(folder, { recursive: true });
  await chmod(folder, mode);
  return folder;
}

/** The folder that the claim's volume names. */
async function claimFolder({ api, pod }: VolumeContext, claim: string): Promise<string> {
  const { namespace } = pod.metadata;
  const found = await api
    .call<{ spec: { volumeName?: string } }>(
      "GET",
      `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${claim}`,
    )
    .catch(missing(`persistentvolumeclaim "${claim}" not found`));
  const volume = await api.call<{ spec: { hostPath?: { path: string } } }>(
    "GET",
    `/api/v1/persistentvolumes/${found.spec.volumeName}`,
  );
  if (!volume.spec.hostPath) throw new MountError(`volume of claim "${claim}" is none of this test's`);
  return makeFolder(volume.spec.hostPath.path, 0o777);
}

function missing(message: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof KubeError && error.status === 404) throw new MountError(message);
    throw error;
  };
}

async function writeSource(
  ctx: VolumeContext,
  folder: string,
  source: ProjectedSource,
  defaultMode: number | undefined,
): Promise<void> {
  const mode = defaultMode === undefined ? {} : { defaultMode };
  if (source.secret)
    await writeKeys(ctx, folder, "secrets", source.secret.name, { ...mode, ...source.secret });
  if (source.configMap) {
    await writeKeys(ctx, folder, "configmaps", source.configMap.name, { ...mode, ...source.configMap });
  }
  for (const item of source.downwardAPI?.items ?? []) {
    await writeIn(ctx, folder, item.path, fieldOf(ctx.pod, ctx.podIp, item.fieldRef?.fieldPath ?? ""), 0o644);
  }
  const token = source.serviceAccountToken;
  if (token) await writeIn(ctx, folder, token.path, await requestToken(ctx, token), 0o600);
}

async function requestToken(
  { api, pod }: VolumeContext,
  token: NonNullable<ProjectedSource["serviceAccountToken"]>,
): Promise<string> {
  const account = pod.spec.serviceAccountName ?? "default";
  const answer = await api.call<{ status: { token: string } }>(
    "POST",
    `/api/v1/namespaces/${pod.metadata.namespace}/serviceaccounts/${account}/token`,
    {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: {
        expirationSeconds: token.expirationSeconds ?? 3_600,
        ...(token.audience === undefined ? {} : { audiences: [token.audience] }),
        boundObjectRef: { apiVersion: "v1", kind: "Pod", name: pod.metadata.name, uid: pod.metadata.uid },
      },
    },
  );
  return answer.status.token;
}

async function writeKeys(
  ctx: VolumeContext,
  folder: string,
  kind: "secrets" | "configmaps",
  name: string,
  options: Items,
): Promise<void> {
  const data = await readKeys(ctx.api, ctx.pod, kind, name, options.optional ?? false);
  const items = options.items ?? [...data.keys()].map((key) => ({ key, path: key, mode: undefined }));
  for (const item of items) {
    const content = data.get(item.key);
    if (content === undefined && options.optional) continue;
    if (content === undefined) throw new MountError(`references non-existent ${kind} key: ${item.key}`);
    await writeIn(ctx, folder, item.path, content, item.mode ?? options.defaultMode ?? 0o644);
  }
}

/** The content of a Secret or a ConfigMap. */
export async function readKeys(
  api: KubeApi,
  pod: Pod,
  kind: "secrets" | "configmaps",
  name: string,
  optional: boolean,
): Promise<Map<string, string | Buffer>> {
  const path = `/api/v1/namespaces/${pod.metadata.namespace}/${kind}/${name}`;
  const found = await api
    .call<{ data?: Record<string, string>; binaryData?: Record<string, string> }>("GET", path)
    .catch((error: unknown) => {
      if (!optional) return missing(`${kind.slice(0, -1)} "${name}" not found`)(error);
      return {} as { data?: Record<string, string>; binaryData?: Record<string, string> };
    });
  const data = new Map<string, string | Buffer>();
  for (const [key, value] of Object.entries(found.data ?? {})) {
    data.set(key, kind === "secrets" ? Buffer.from(value, "base64") : value);
  }
  for (const [key, value] of Object.entries(found.binaryData ?? {}))
    data.set(key, Buffer.from(value, "base64"));
  return data;
}

async function writeIn(
  { pod }: VolumeContext,
  folder: string,
  path: string,
  content: string | Buffer,
  mode: number,
): Promise<void> {
  const file = join(folder, path);
  await mkdir(dirname(file), { recursive: true });
  const group = pod.spec.securityContext?.fsGroup;
  const user = pod.spec.securityContext?.runAsUser;
  const known = await readFile(file).catch(() => undefined);
  if (known?.equals(Buffer.from(content))) return;
  await writeFile(file, content);
  // As a kubelet: the pod's group may read what its owner may; a token belongs to the user that the pod runs as.
  await chmod(file, group === undefined ? mode : mode | ((mode & 0o400) >> 3));
  const ownsToken = mode === 0o600 && user !== undefined && group === undefined;
  if (ownsToken) await chown(file, user, 0);
  else if (group !== undefined) await chown(file, 0, group);
}

/** A field of the pod by its downward path. */
export function fieldOf(pod: Pod, podIp: string, path: string): string {
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (keyed) return pod.metadata[keyed[1] as "labels" | "annotations"]?.[keyed[2] ?? ""] ?? "";
  const fields: Readonly<Record<string, string | undefined>> = {
    "metadata.name": pod.metadata.name,
    "metadata.namespace": pod.metadata.namespace,
    "metadata.uid": pod.metadata.uid,
    "spec.nodeName": pod.spec.nodeName,
    "spec.serviceAccountName": pod.spec.serviceAccountName ?? "default",
    "status.podIP": podIp,
    "status.hostIP": "127.0.0.1",
  };
  return fields[path] ?? "";
}
