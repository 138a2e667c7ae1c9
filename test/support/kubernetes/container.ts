/** Starts a container as a real process: own root folder (a copy-on-write view of this machine's), the pod's network, its mounts. */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { KubeApi } from "./api.ts";
import { ROOT, type TestImage } from "./images.ts";
import type { Container, Pod } from "./pod-types.ts";
import { fieldOf, readKeys } from "./pod-volumes.ts";

export interface ContainerContext {
  readonly api: KubeApi;
  readonly pod: Pod;
  readonly podIp: string;
  readonly sandboxPid: number;
  readonly folder: string;
  readonly volumes: ReadonlyMap<string, string>;
  watch(child: ChildProcess): void;
}

/**
 * $1 the root folder, $2 the container's working folder, $3 user, $4 group, $5 "ro" or "rw", then pairs of mounts (source=target=ro|rw)
 * up to "--", then the command. Everything happens in a mount namespace of its own, so nothing of it stays behind.
 */
const SCRIPT = `set -e
R=$1; W=$2; U=$3; G=$4; MODE=$5; shift 5
mount -t tmpfs tmpfs "$R"; mkdir "$R/upper" "$R/work" "$R/root"; N="$R/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$R/upper,workdir=$R/work" "$N"
mount -t tmpfs -o mode=1777 tmpfs "$N/tmp"
for d in dev proc sys; do mount --rbind "/$d" "$N/$d"; done
while [ "$1" != "--" ]; do
  S="$1"; T="$N$2"; A="$3"; shift 3
  if [ -d "$S" ]; then mkdir -p "$T"; else mkdir -p "$(dirname "$T")"; : > "$T"; fi
  mount --bind "$S" "$T"
  if [ "$A" = ro ]; then mount -o remount,bind,ro "$T"; fi
done; shift
mkdir -p "$N$W"
if [ "$MODE" = ro ]; then mount -o remount,ro "$N"; fi
exec chroot --userspec="$U:$G" --groups="$G" "$N" /bin/sh -c 'cd "$0" && exec "$@"' "$W" "$@"
`;

/** Runs it with its output, a line with its time each, in the log file. */
export async function startContainer(
  ctx: ContainerContext,
  container: Container,
  image: TestImage,
  logFile: string,
): Promise<ChildProcess> {
  const root = join(ctx.folder, `root-${container.name}`);
  await mkdir(root, { recursive: true });
  const env = await envOf(ctx, container, image);
  const security = { ...ctx.pod.spec.securityContext, ...container.securityContext };
  const user = security.runAsUser ?? 0;
  const group = ctx.pod.spec.securityContext?.fsGroup ?? security.runAsGroup ?? user;
  const mode = security.readOnlyRootFilesystem ? "ro" : "rw";
  const argv = argvOf(container, image, env);
  const folders = Object.entries(image.folders ?? {}).flatMap(([target, source]) => [source, target, "rw"]);
  // Last, since a /tmp of the pod's own would hide a source tree that lies below this machine's.
  const program = [ROOT, ROOT, "ro"];
  const args = [
    ...["-t", String(ctx.sandboxPid), "-n", "unshare", "-m", "sh", "-c", SCRIPT, "sh"],
    ...[root, container.workingDir ?? "/", String(user), String(group), mode],
    ...[...folders, ...mountsOf(ctx, container), ...program, "--", ...argv],
  ];
  const child = spawn("nsenter", args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  ctx.watch(child);
  const log = createWriteStream(logFile, { flags: "a" });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) =>
      log.write(`${new Date().toISOString()} ${line}\n`),
    );
  }
  child.once("close", () => log.end());
  return child;
}

function mountsOf(ctx: ContainerContext, container: Container): string[] {
  return (container.volumeMounts ?? []).flatMap((mount) => {
    const folder = ctx.volumes.get(mount.name);
    if (folder === undefined) throw new Error(`no volume ${mount.name}`);
    const source = mount.subPath ? join(folder, mount.subPath) : folder;
    return [source, mount.mountPath, mount.readOnly ? "ro" : "rw"];
  });
}

function argvOf(
  container: Container,
  image: TestImage,
  env: Readonly<Record<string, string>>,
): readonly string[] {
  const expand = (text: string) =>
    text.replaceAll(/\$\((\w+)\)/g, (whole, name: string) => env[name] ?? whole);
  const command = container.command ?? image.entrypoint ?? [];
  const argv = [...command, ...(container.args ?? [])].map(expand);
  return image.rewrite?.(argv) ?? argv;
}

async function envOf(
  { api, pod, podIp }: ContainerContext,
  container: Container,
  image: TestImage,
): Promise<Record<string, string>> {
  const env: Record<string, string> = {
    PATH: process.env.PATH ?? "",
    HOSTNAME: pod.metadata.name,
    ...image.env,
  };
  for (const from of container.envFrom ?? []) {
    const kind = from.secretRef ? "secrets" : "configmaps";
    const keys = await readKeys(api, pod, kind, (from.secretRef ?? from.configMapRef)?.name ?? "", false);
    for (const [key, value] of keys) env[`${from.prefix ?? ""}${key}`] = value.toString();
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    const ref = valueFrom?.secretKeyRef ?? valueFrom?.configMapKeyRef;
    if (ref) {
      const kind = valueFrom?.secretKeyRef ? "secrets" : "configmaps";
      const found = (await readKeys(api, pod, kind, ref.name, ref.optional ?? false)).get(ref.key);
      if (found !== undefined) env[name] = found.toString();
      else if (!ref.optional) throw new Error(`couldn't find key ${ref.key} in ${kind} ${ref.name}`);
    } else if (valueFrom?.fieldRef) env[name] = fieldOf(pod, podIp, valueFrom.fieldRef.fieldPath);
    else env[name] = (value ?? "").replaceAll(/\$\((\w+)\)/g, (whole, other: string) => env[other] ?? whole);
  }
  return env;
}
