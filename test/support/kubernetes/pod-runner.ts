/** One pod on a node of the test kubelet, from its binding to its end. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type KubeApi, KubeError } from "./api.ts";
import { createRunner, type Runner, type RunnerContext } from "./container-runner.ts";
import type { FaultState } from "./faults.ts";
import type { Images } from "./images.ts";
import { createSandbox } from "./pod-network.ts";
import type { Pod } from "./pod-types.ts";
import { MountError, mountVolumes } from "./pod-volumes.ts";

export interface PodContext {
  readonly api: KubeApi;
  readonly nodeFolder: string;
  readonly images: Images;
  readonly faults: FaultState;
  readonly backOffMs: number;
  watch: RunnerContext["watch"];
}

export interface PodRunner {
  readonly pod: Pod;
  readonly runners: readonly Runner[];
  /** Stops it within its grace and tells the API server that it is gone. */
  terminate(graceMs: number): Promise<void>;
  /** Its node is lost: everything dies, nothing is told. */
  drop(): void;
}

/** A missing Secret or volume is looked for again. */
const MOUNT_RETRY_MS = 1_000;

export function runPod(ctx: PodContext, pod: Pod): PodRunner {
  const path = `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}`;
  const folder = join(ctx.nodeFolder, "pods", pod.metadata.uid);
  const over = new AbortController();
  const inits: Runner[] = [];
  const mains: Runner[] = [];
  let podIp = "";
  let phase = "Pending";
  let isInitialized = false;
  let kill = () => {};

  const say = (type: "Normal" | "Warning", reason: string, message: string) => {
    if (!over.signal.aborted) void tellEvent(ctx.api, pod, type, reason, message);
  };
  // One write after the other: the newest state wins.
  let writing = Promise.resolve();
  const changed = () => {
    writing = writing.then(() => writeStatus()).catch(() => {});
  };

  async function writeStatus(): Promise<void> {
    if (over.signal.aborted) return;
    const status = {
      phase,
      ...{ hostIP: "127.0.0.1", hostIPs: [{ ip: "127.0.0.1" }], startTime },
      ...(podIp === "" ? {} : { podIP: podIp, podIPs: [{ ip: podIp }] }),
      conditions: conditions(),
      ...(inits.length === 0 ? {} : { initContainerStatuses: inits.map(({ status }) => status) }),
      containerStatuses: mains.map(({ status }) => status),
    };
    const body = { metadata: { uid: pod.metadata.uid }, status };
    await ctx.api.call("PATCH", `${path}/status`, body, "application/strategic-merge-patch+json");
  }

  const startTime = now();
  const since = new Map<string, { status: string; at: string }>();
  function conditions(): object[] {
    const isReady = phase === "Running" && mains.every(({ status }) => status.ready);
    const all = {
      PodReadyToStartContainers: podIp !== "",
      Initialized: isInitialized,
      ContainersReady: isReady,
      Ready: isReady,
    };
    return Object.entries(all).map(([type, holds]) => {
      const status = holds ? "True" : "False";
      if (since.get(type)?.status !== status) since.set(type, { status, at: now() });
      const why = holds || !/Ready$/.test(type) ? {} : { reason: "ContainersNotReady" };
      return { type, status, lastTransitionTime: since.get(type)?.at, ...why };
    });
  }

  async function run(): Promise<void> {
    await mkdir(folder, { recursive: true });
    const sandbox = await createSandbox(ctx.watch);
    kill = () => sandbox.child.kill("SIGKILL");
    if (over.signal.aborted) return kill();
    podIp = sandbox.ip;
    const volumes = await mountPatiently();
    const runnerCtx: RunnerContext = {
      ...{ api: ctx.api, pod, podIp, sandboxPid: sandbox.pid, folder, volumes, watch: ctx.watch },
      ...{
        images: ctx.images,
        faults: ctx.faults,
        backOffMs: ctx.backOffMs,
        signal: stopping.signal,
        say,
        changed,
      },
    };
    const { initContainers = [], containers, restartPolicy = "Always" } = pod.spec;
    inits.push(...initContainers.map((one) => createRunner(runnerCtx, one)));
    mains.push(...containers.map((one) => createRunner(runnerCtx, one)));
    changed();
    for (const init of inits) {
      await init.run(restartPolicy === "Never" ? "Never" : "OnFailure");
      if (stopping.signal.aborted) return;
      if (init.status.state.terminated?.exitCode !== 0) return finish("Failed");
      init.status.ready = true;
    }
    isInitialized = true;
    phase = "Running";
    await Promise.all(mains.map((one) => one.run(restartPolicy)));
    if (stopping.signal.aborted) return;
    const isWell = mains.every(({ status }) => status.state.terminated?.exitCode === 0);
    finish(isWell ? "Succeeded" : "Failed");
  }

  function finish(last: "Succeeded" | "Failed"): void {
    phase = last;
    kill();
    changed();
  }

  const stopping = new AbortController();
  async function mountPatiently(): Promise<ReadonlyMap<string, string>> {
    for (;;) {
      try {
        const volumeCtx = { api: ctx.api, pod, podIp, folder, nodeFolder: ctx.nodeFolder };
        return await mountVolumes(volumeCtx);
      } catch (error) {
        if (!(error instanceof MountError) || stopping.signal.aborted) throw error;
        say("Warning", "FailedMount", `MountVolume.SetUp failed: ${error.message}`);
        await sleep(MOUNT_RETRY_MS);
      }
    }
  }

  const done = run().catch((error: unknown) => {
    if (!stopping.signal.aborted) say("Warning", "FailedCreatePodSandBox", String(error));
  });

  let terminating: Promise<void> | undefined;
  async function terminate(graceMs: number): Promise<void> {
    await Promise.all([...inits, ...mains].map((one) => one.stop(graceMs)));
    stopping.abort();
    await done;
    kill();
    phase = mains.every(({ status }) => status.state.terminated?.exitCode === 0) ? "Succeeded" : "Failed";
    changed();
    await writing;
    if (over.signal.aborted) return;
    const options = { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid } };
    await ctx.api.call("DELETE", path, options).catch((error: unknown) => {
      if (!(error instanceof KubeError) || (error.status !== 404 && error.status !== 409)) throw error;
    });
    over.abort();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }

  return {
    pod,
    get runners() {
      return [...inits, ...mains];
    },
    terminate(graceMs) {
      // Asked again, a kubelet takes a shorter grace; a longer one comes too late to matter.
      const killAll = () => {
        for (const one of mains) one.kill("Error");
      };
      if (terminating) setTimeout(killAll, graceMs).unref();
      terminating ??= terminate(graceMs);
      return terminating;
    },
    drop() {
      over.abort();
      stopping.abort();
      for (const one of [...inits, ...mains]) one.kill("Error");
      kill();
    },
  };
}

async function tellEvent(
  api: KubeApi,
  pod: Pod,
  type: "Normal" | "Warning",
  reason: string,
  message: string,
): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  const at = now();
  const event = {
    metadata: { generateName: `${name}.` },
    involvedObject: { apiVersion: "v1", kind: "Pod", name, namespace, uid },
    ...{ type, reason, message, count: 1, firstTimestamp: at, lastTimestamp: at },
    source: { component: "kubelet", host: pod.spec.nodeName },
  };
  // As a kubelet's: told once, not insisted upon (its namespace may be going).
  await api.call("POST", `/api/v1/namespaces/${namespace}/events`, event).catch(() => {});
}

function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}
