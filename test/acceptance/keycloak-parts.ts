/** A real Keycloak from Maven Central, kept between runs, and a realm of its own for each start. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { access, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Cleanup, undoAfter } from "../support/cleanup.ts";
import { freePort } from "../support/free-port.ts";
import { CACHE } from "./vllm-parts.ts";

const VERSION = "26.5.6";
const ZIP = `keycloak-quarkus-dist-${VERSION}.zip`;
const COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";
const JAVA_MIN = 17;
const DOWNLOAD_MS = 300_000;
/** It builds itself at its first start: a minute on two busy cores. */
const START_MS = 240_000;
const STOP_MS = 15_000;
const run = promisify(execFile);

export interface Keycloak {
  readonly issuer: string;
  /** A token for this user and client by the password grant. */
  passwordGrant(clientId: string, username: string, password: string): Promise<string>;
}

/** Why it can't be had on this machine, or undefined. Fetches it where the cache lacks it. */
export async function keycloakMissing(): Promise<string | undefined> {
  const { stderr } = await run("java", ["-version"]).catch(() => ({ stderr: "" }));
  const version = Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0);
  if (version < JAVA_MIN) return `there is no Java ${JAVA_MIN} (Debian's package is openjdk-17-jre-headless)`;
  const unzip = await run("unzip", ["-v"]).catch(() => undefined);
  if (!unzip) return "there is no unzip";
  return distribution().then(
    () => undefined,
    (error: unknown) =>
      `Keycloak can't be fetched: ${error instanceof Error ? error.message.slice(0, 200) : error}`,
  );
}

/** The archive, fetched by Maven where it is not there. */
async function distribution(): Promise<string> {
  const path = join(CACHE, ZIP);
  if (await isThere(path)) return path;
  await mkdir(CACHE, { recursive: true, mode: 0o755 });
  const draft = await mkdtemp(join(CACHE, "keycloak-"));
  try {
    const artifact = `-Dartifact=org.keycloak:keycloak-quarkus-dist:${VERSION}:zip`;
    await run("mvn", ["-q", "-B", COPY, artifact, `-DoutputDirectory=${draft}`], { timeout: DOWNLOAD_MS });
    await rename(join(draft, ZIP), path);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return path;
}

/** Starts it in its development mode, on loopback, with the realm; it is gone when the test ends. */
export async function startKeycloak(t: Cleanup, realm: object): Promise<Keycloak> {
  const folder = await mkdtemp(join(tmpdir(), "slipway-keycloak-"));
  undoAfter(t, () => rm(folder, { recursive: true, force: true }));
  await run("unzip", ["-q", await distribution(), "-d", folder]);
  const home = join(folder, `keycloak-${VERSION}`);
  await mkdir(join(home, "data", "import"), { recursive: true });
  await writeFile(join(home, "data", "import", "realm.json"), JSON.stringify(realm));
  const port = await freePort();
  const args = ["start-dev", "--import-realm", "--http-host=127.0.0.1", `--http-port=${port}`];
  // Its start script leaves the machine to the Java that it becomes.
  const child = spawn(join(home, "bin", "kc.sh"), [...args, "--cache=local", "--metrics-enabled=false"], {
    env: { PATH: process.env.PATH, HOME: folder, JAVA_OPTS_KC_HEAP: "-Xms128m -Xmx768m" },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let said = "";
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-8_000);
    });
  }
  undoAfter(t, () => stop(child));
  const name = "realm" in realm ? String(realm.realm) : "";
  const issuer = `http://127.0.0.1:${port}/realms/${name}`;
  await answers(`${issuer}/.well-known/openid-configuration`, child, () => said);
  return { issuer, passwordGrant: (...who) => passwordGrant(issuer, ...who) };
}

async function passwordGrant(
  issuer: string,
  clientId: string,
  username: string,
  password: string,
): Promise<string> {
  const body = new URLSearchParams({
    grant_type: "password",
    client_id: clientId,
    username,
    password,
    scope: "openid",
  });
  const answer = await fetch(`${issuer}/protocol/openid-connect/token`, { method: "POST", body });
  const given = (await answer.json()) as { access_token?: string };
  if (given.access_token !== undefined) return given.access_token;
  throw new Error(`Keycloak gave no token: ${JSON.stringify(given)}`);
}

async function answers(url: string, child: ChildProcess, said: () => string): Promise<void> {
  const deadline = performance.now() + START_MS;
  for (;;) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok) return;
    if (child.exitCode !== null || performance.now() > deadline)
      throw new Error(`Keycloak did not start:\n${said()}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** The script and the Java that it started: its whole process group. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once("close", resolve));
  process.kill(-child.pid, "SIGTERM");
  const late = setTimeout(() => process.kill(-(child.pid ?? 0), "SIGKILL"), STOP_MS);
  await ended;
  clearTimeout(late);
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
