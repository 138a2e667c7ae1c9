/** How an API server is reached and who we are to it: from a kubeconfig, or as the service account of our own pod. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { KubernetesConfig } from "./config.ts";

export interface Credentials {
  readonly server: string;
  /** PEM; undefined: the system's authorities. */
  readonly ca: string | undefined;
  /** A client certificate, PEM. */
  readonly client: { readonly cert: string; readonly key: string } | undefined;
  /** Read anew when it is asked for: mounted tokens are renewed in place. "" = none. */
  token(ctx: BaseCtx): Promise<string>;
}

const ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount";

const kubeconfigSchema = z.object({
  "current-context": z.string().optional(),
  contexts: z
    .array(z.object({ name: z.string(), context: z.object({ cluster: z.string(), user: z.string() }) }))
    .default([]),
  clusters: z
    .array(
      z.object({
        name: z.string(),
        cluster: z.object({
          server: z.url(),
          "certificate-authority": z.string().optional(),
          "certificate-authority-data": z.string().optional(),
          "insecure-skip-tls-verify": z.boolean().optional(),
        }),
      }),
    )
    .default([]),
  users: z
    .array(
      z.object({
        name: z.string(),
        user: z.object({
          token: z.string().optional(),
          tokenFile: z.string().optional(),
          "client-certificate": z.string().optional(),
          "client-certificate-data": z.string().optional(),
          "client-key": z.string().optional(),
          "client-key-data": z.string().optional(),
          exec: z.unknown().optional(),
          "auth-provider": z.unknown().optional(),
        }),
      }),
    )
    .default([]),
});

type Kubeconfig = z.infer<typeof kubeconfigSchema>;
type User = Kubeconfig["users"][number]["user"];

/** Throws CONFIG_INVALID, naming the field and never a value. */
export async function credentialsOf(
  config: Pick<KubernetesConfig, "kubeconfig" | "context">,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<Credentials> {
  if (config.kubeconfig === undefined) return inCluster(env);
  const text = await readText(config.kubeconfig, "kubernetes.kubeconfig");
  return fromKubeconfig(text, config.kubeconfig, config.context);
}

async function inCluster(env: Readonly<Record<string, string | undefined>>): Promise<Credentials> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = "443" } = env;
  if (host === undefined) {
    throw refused(
      "kubernetes.kubeconfig: is not set, and this process runs in no cluster. Name a kubeconfig file",
    );
  }
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    ca: await readText(`${ACCOUNT_DIR}/ca.crt`, "service account"),
    client: undefined,
    token: async () => (await readText(`${ACCOUNT_DIR}/token`, "service account")).trim(),
  };
}

async function fromKubeconfig(text: string, file: string, context: string | undefined): Promise<Credentials> {
  const parsed = kubeconfigSchema.safeParse(parseYaml(text));
  if (!parsed.success) {
    const fields = parsed.error.issues.map((issue) => issue.path.join(".")).join(", ");
    throw refused(`kubernetes.kubeconfig: the file is none: ${fields}`);
  }
  const { cluster, user } = chosen(parsed.data, context);
  if (cluster["insecure-skip-tls-verify"]) {
    throw refused(
      "kubernetes.kubeconfig: insecure-skip-tls-verify would let anybody be the cluster. Give certificate-authority-data instead",
    );
  }
  if (user.exec !== undefined || user["auth-provider"] !== undefined) {
    throw refused(
      "kubernetes.kubeconfig: the user logs in by another program, which is not run here. Use the token or certificate of a service account",
    );
  }
  const dir = dirname(file);
  const cert = await pem(dir, user["client-certificate-data"], user["client-certificate"]);
  const key = await pem(dir, user["client-key-data"], user["client-key"]);
  return {
    server: cluster.server.replace(/\/+$/, ""),
    ca: await pem(dir, cluster["certificate-authority-data"], cluster["certificate-authority"]),
    client: cert !== undefined && key !== undefined ? { cert, key } : undefined,
    token: () => tokenOf(dir, user),
  };
}

function chosen(config: Kubeconfig, wanted: string | undefined) {
  const name = wanted ?? config["current-context"];
  const context = config.contexts.find((one) => one.name === name)?.context;
  if (!context) {
    const known = config.contexts.map((one) => one.name).join(", ");
    throw refused(
      `kubernetes.context: the kubeconfig has no context ${name ?? ""}. It has ${known || "none"}`,
    );
  }
  const cluster = config.clusters.find((one) => one.name === context.cluster)?.cluster;
  const user = config.users.find((one) => one.name === context.user)?.user;
  if (!cluster || !user)
    throw refused(`kubernetes.context: the context ${name} lacks its cluster or its user`);
  return { cluster, user };
}

async function tokenOf(dir: string, user: User): Promise<string> {
  if (user.tokenFile !== undefined) {
    return (await readText(resolve(dir, user.tokenFile), "kubernetes.kubeconfig")).trim();
  }
  return user.token ?? "";
}

async function pem(
  dir: string,
  data: string | undefined,
  path: string | undefined,
): Promise<string | undefined> {
  if (data !== undefined) return Buffer.from(data, "base64").toString("utf8");
  return path === undefined ? undefined : readText(resolve(dir, path), "kubernetes.kubeconfig");
}

function parseYaml(text: string): unknown {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

async function readText(path: string, field: string): Promise<string> {
  return readFile(path, "utf8").catch((cause: unknown) => {
    throw refused(`${field}: a file can't be read. Check its path and rights`, cause);
  });
}

function refused(what: string, cause?: unknown): StatusError {
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message: `${what}.`,
    ...(cause === undefined ? {} : { cause }),
  });
}
