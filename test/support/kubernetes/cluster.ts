/**
 * A real Kubernetes control plane for a test: etcd, API server (RBAC on), controllers and scheduler, each the real program, in a
 * folder of the test's own. Nodes and pods that run are startKubelet's.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../free-port.ts";
import { createApi, type KubeApi } from "./api.ts";
import { type Binaries, kubernetesBinaries } from "./binaries.ts";
import { createAuthority, createSigningKey, issue, type KeyPair } from "./certificates.ts";
import { createProcesses, type Processes, type Started } from "./processes.ts";

export interface Cluster {
  readonly url: string;
  readonly caFile: string;
  readonly adminTokenFile: string;
  readonly kubeconfigFile: string;
  /** What the API server writes of every call of others than its own parts: JSON lines, one an answered request. */
  readonly auditFile: string;
  /** Gone with the cluster. */
  readonly folder: string;
  readonly authority: KeyPair;
  readonly binaries: Binaries;
  readonly processes: Processes;
  /** The store behind the API server; nobody asks who you are. */
  readonly etcdUrl: string;
  /** As administrator. */
  readonly api: KubeApi;
  close(): Promise<void>;
}

export interface ClusterOptions {
  /** How long a node may be silent until it counts as lost, and its pods are evicted after as long again. */
  readonly nodeGraceSeconds?: number;
}

/** A few seconds when idle. */
const START_MAX_MS = 120_000;
/** Between two looks at what is starting. */
const LOOK_EVERY_MS = 100;

/** Everything that a starting step needs. */
interface Making {
  readonly folder: string;
  readonly binaries: Binaries;
  readonly processes: Processes;
  readonly authority: KeyPair;
  readonly tokens: Readonly<Record<string, string>>;
  readonly url: string;
  readonly options: ClusterOptions;
}

/** Starts a cluster; close() ends it and takes its folder away. Throws with the reason where the programs can't be had. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const binaries = await kubernetesBinaries();
  const folder = await mkdtemp(join(tmpdir(), "slipway-cluster-"));
  const processes = createProcesses(folder);
  try {
    return await startIn(folder, binaries, processes, options);
  } catch (error) {
    await processes.close();
    throw error;
  }
}

async function startIn(
  folder: string,
  binaries: Binaries,
  processes: Processes,
  options: ClusterOptions,
): Promise<Cluster> {
  const authority = await createAuthority(folder);
  const tokens = Object.fromEntries(
    Object.keys(USERS).map((user) => [user, randomBytes(24).toString("hex")]),
  );
  const making = { folder, binaries, processes, authority, tokens, url: await freeUrl("https"), options };
  const etcdUrl = await startEtcd(making);
  const api = await startApiServer(making, etcdUrl);
  await startControllers(making);
  const adminTokenFile = join(folder, "admin.token");
  await writeFile(adminTokenFile, tokens.admin ?? "", { mode: 0o600 });
  const kubeconfigFile = await writeKubeconfig(making, "admin");
  await settle(
    () => api.call("GET", "/api/v1/namespaces/default/serviceaccounts/default"),
    undefined,
    "accounts",
  );
  return {
    ...{ url: making.url, caFile: authority.certificateFile, adminTokenFile, kubeconfigFile },
    etcdUrl,
    ...{ auditFile: join(folder, "audit.log"), folder, authority, binaries, processes, api },
    async close() {
      await api.close();
      await processes.close();
    },
  };
}

/** Who has a token, and the groups that Kubernetes knows them by. */
const USERS = {
  admin: "admin,admin,system:masters",
  controllers: "system:kube-controller-manager,controllers,",
  scheduler: "system:kube-scheduler,scheduler,",
} as const;

async function startEtcd({ folder, binaries, processes }: Making): Promise<string> {
  const [url, peerUrl] = [await freeUrl("http"), await freeUrl("http")];
  const args = [
    ...["--data-dir", join(folder, "etcd"), "--listen-client-urls", url, "--advertise-client-urls", url],
    ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
    ...["--initial-cluster", `default=${peerUrl}`, "--unsafe-no-fsync", "--log-level", "warn"],
  ];
  const etcd = processes.start(binaries.etcd, args, join(folder, "etcd.log"));
  await settle(() => healthy(`${url}/health`), etcd, "etcd");
  return url;
}

async function healthy(url: string): Promise<void> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
}

async function startApiServer(making: Making, etcdUrl: string): Promise<KubeApi> {
  const { folder, binaries, processes, authority, tokens, url } = making;
  const names = ["127.0.0.1", "10.96.0.1", "localhost", "kubernetes.default.svc"];
  const serving = await issue(folder, authority, { name: "kube-apiserver", addresses: names });
  const kubeletClient = await issue(folder, authority, {
    ...{ name: "kube-apiserver-kubelet-client", groups: ["system:masters"], addresses: ["127.0.0.1"] },
  });
  const signingKey = await createSigningKey(folder);
  const users = Object.entries(USERS).map(([user, row]) => tokenRow(tokens[user] ?? "", row));
  await writeFile(join(folder, "tokens.csv"), users.join(""), { mode: 0o600 });
  await writeFile(join(folder, "audit.yaml"), AUDIT_POLICY);
  const grace = String(making.options.nodeGraceSeconds ?? 40);
  const args = [
    ...["--etcd-servers", etcdUrl, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"],
    ...["--secure-port", new URL(url).port, "--endpoint-reconciler-type", "none"],
    ...["--tls-cert-file", serving.certificateFile, "--tls-private-key-file", serving.keyFile],
    ...[
      "--client-ca-file",
      authority.certificateFile,
      "--kubelet-certificate-authority",
      authority.certificateFile,
    ],
    ...[
      "--kubelet-client-certificate",
      kubeletClient.certificateFile,
      "--kubelet-client-key",
      kubeletClient.keyFile,
    ],
    ...["--kubelet-preferred-address-types", "InternalIP"],
    ...["--token-auth-file", join(folder, "tokens.csv"), "--authorization-mode", "RBAC"],
    ...[
      "--service-account-issuer",
      "https://kubernetes.default.svc",
      "--service-account-signing-key-file",
      signingKey,
    ],
    ...["--service-account-key-file", signingKey, "--service-cluster-ip-range", "10.96.0.0/16"],
    ...["--audit-policy-file", join(folder, "audit.yaml"), "--audit-log-path", join(folder, "audit.log")],
    `--default-unreachable-toleration-seconds=${grace}`,
    `--default-not-ready-toleration-seconds=${grace}`,
  ];
  const server = processes.start(binaries["kube-apiserver"], args, join(folder, "kube-apiserver.log"));
  const api = await createApi(url, authority.certificateFile, tokens.admin ?? "");
  await settle(() => api.call("GET", "/readyz"), server, "kube-apiserver");
  return api;
}

function tokenRow(token: string, row: string): string {
  const [name, id, groups] = row.split(",");
  return `${token},${name},${id}${groups ? `,"${groups}"` : ""}\n`;
}

/** One line a call, without bodies: Secrets stay out of it. */
const AUDIT_POLICY = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "admin"]
  - level: None
    userGroups: ["system:serviceaccounts:kube-system"]
  - level: Metadata
`;

async function startControllers(making: Making): Promise<void> {
  const { folder, binaries, processes, authority, options } = making;
  const grace = options.nodeGraceSeconds ?? 40;
  const ports = [await freePort(), await freePort()];
  const common = (user: keyof typeof USERS, port: number | undefined) => [
    ...["--kubeconfig", join(folder, `${user}.kubeconfig`), "--leader-elect=false"],
    ...["--bind-address", "127.0.0.1", "--secure-port", String(port), "--cert-dir", join(folder, user)],
  ];
  await writeKubeconfig(making, "controllers");
  await writeKubeconfig(making, "scheduler");
  const manager = [
    ...[...common("controllers", ports[0]), "--root-ca-file", authority.certificateFile],
    ...["--use-service-account-credentials=true", "--service-account-private-key-file"],
    ...[join(folder, "service-accounts.key"), `--node-monitor-grace-period=${grace}s`],
    "--node-monitor-period=1s",
  ];
  processes.start(binaries["kube-controller-manager"], manager, join(folder, "kube-controller-manager.log"));
  processes.start(
    binaries["kube-scheduler"],
    common("scheduler", ports[1]),
    join(folder, "kube-scheduler.log"),
  );
}

async function writeKubeconfig(making: Making, user: keyof typeof USERS): Promise<string> {
  const file = join(making.folder, `${user}.kubeconfig`);
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    clusters: [
      {
        name: "test",
        cluster: { server: making.url, "certificate-authority": making.authority.certificateFile },
      },
    ],
    users: [{ name: user, user: { token: making.tokens[user] } }],
    contexts: [{ name: "test", context: { cluster: "test", user } }],
  };
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

/** Repeats until it works; fails with the program's last words when that ends first, or when time is up. */
async function settle(
  look: () => Promise<unknown>,
  program: Started | undefined,
  name: string,
): Promise<void> {
  const giveUpAt = performance.now() + START_MAX_MS;
  for (;;) {
    const failure = await look().then(
      () => undefined,
      (error: unknown) => String(error),
    );
    if (failure === undefined) return;
    const isOver =
      program !== undefined && (program.child.exitCode !== null || program.child.pid === undefined);
    if (isOver || performance.now() > giveUpAt) {
      throw new Error(`${name} did not start: ${failure}\n${await program?.lastWords()}`);
    }
    await sleep(LOOK_EVERY_MS);
  }
}

async function freeUrl(scheme: "http" | "https"): Promise<string> {
  return `${scheme}://127.0.0.1:${await freePort()}`;
}
