/** Keeps one container of a pod running: pull, start, probes, restarts with back-off; and ends it with preStop and grace. */
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ContainerContext, startContainer } from "./container.ts";
import { type FaultState, faultFor } from "./faults.ts";
import type { Images } from "./images.ts";
import type { Container, ContainerStatus, Probe, Terminated } from "./pod-types.ts";
import { ask } from "./probes.ts";

export interface RunnerContext extends ContainerContext {
  readonly images: Images;
  readonly faults: FaultState;
  /** The first pause before a restart; it doubles. A kubelet's is 10 seconds. */
  readonly backOffMs: number;
  readonly signal: AbortSignal;
  say(type: "Normal" | "Warning", reason: string, message: string): void;
  changed(): void;
}

export interface Runner {
  readonly status: ContainerStatus;
  readonly container: Container;
  /** Runs until it is over for good: by its own end where the policy allows, or by `stop`. */
  run(restart: "Always" | "OnFailure" | "Never"): Promise<void>;
  stop(graceMs: number): Promise<void>;
  kill(reason: "OOMKilled" | "Error"): void;
  logFile(attempt: number): string;
}

/** Pauses between restarts grow no further. */
const BACK_OFF_MAX_MS = 30_000;

export function createRunner(ctx: RunnerContext, container: Container): Runner {
  const status: ContainerStatus = {
    ...{ name: container.name, image: container.image, imageID: "", ready: false, started: false },
    ...{ restartCount: 0, state: { waiting: { reason: "ContainerCreating" } }, lastState: {} },
  };
  const logFile = (attempt: number) => join(ctx.folder, `${container.name}.${attempt}.log`);
  const stopping = new AbortController();
  let child: ChildProcess | undefined;
  let killedFor: "OOMKilled" | "Error" | undefined;
  let running: Promise<void> = Promise.resolve();

  const wait = (state: ContainerStatus["state"]) => {
    Object.assign(status, { ready: false, started: false, state });
    ctx.changed();
  };
  const pause = (ms: number) =>
    sleep(ms, undefined, { signal: AbortSignal.any([stopping.signal, ctx.signal]) }).catch(() => {});
  const isOver = () => stopping.signal.aborted || ctx.signal.aborted;

  async function pull() {
    for (let pauseMs = ctx.backOffMs; !isOver(); pauseMs = Math.min(pauseMs * 2, BACK_OFF_MAX_MS)) {
      ctx.say("Normal", "Pulling", `Pulling image "${container.image}"`);
      const fault = faultFor(ctx.faults.pulls, container.image);
      const image = fault === undefined ? ctx.images(container.image) : undefined;
      if (image) {
        status.imageID = `${container.image}@sha256:${"0".repeat(64)}`;
        ctx.say("Normal", "Pulled", `Successfully pulled image "${container.image}"`);
        return image;
      }
      const message = `failed to pull image "${container.image}": ${fault ?? "not found"}`;
      ctx.say("Warning", "Failed", `Failed to pull image "${container.image}": ${message}`);
      wait({ waiting: { reason: "ErrImagePull", message } });
      await pause(pauseMs / 2);
      if (isOver()) return undefined;
      ctx.say("Normal", "BackOff", `Back-off pulling image "${container.image}"`);
      wait({
        waiting: { reason: "ImagePullBackOff", message: `Back-off pulling image "${container.image}"` },
      });
      await pause(pauseMs / 2);
    }
    return undefined;
  }

  async function once(): Promise<Terminated | undefined> {
    const image = await pull();
    await pause(faultFor(ctx.faults.delays, container.image) ?? 0);
    if (!image || isOver()) return undefined;
    const crash = faultFor(ctx.faults.crashes, container.image);
    const told =
      crash === undefined ? container : { ...container, command: ["sh", "-c", `exit ${crash}`], args: [] };
    killedFor = undefined;
    const startedAt = now();
    let started: ChildProcess;
    try {
      started = await startContainer(ctx, told, image, logFile(status.restartCount));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      ctx.say("Warning", "Failed", `Error: ${message}`);
      wait({ waiting: { reason: "CreateContainerConfigError", message } });
      return { ...{ exitCode: 128, reason: "StartError", message, startedAt, finishedAt: now() } };
    }
    child = started;
    const probing = new AbortController();
    const ended = new Promise<Terminated>((resolve) => {
      started.once("error", (error) =>
        resolve(termination(128, null, "StartError", startedAt, error.message)),
      );
      started.once("close", (code, signal) => resolve(termination(code, signal, killedFor, startedAt)));
    });
    ctx.say("Normal", "Created", `Container created`);
    ctx.say("Normal", "Started", `Container started`);
    Object.assign(status, {
      containerID: `test://${started.pid}`,
      state: { running: { startedAt } },
      started: container.startupProbe === undefined,
      ready: container.startupProbe === undefined && container.readinessProbe === undefined,
    });
    ctx.changed();
    void probe(started.pid ?? 0, probing.signal);
    const end = await ended;
    probing.abort();
    child = undefined;
    Object.assign(status, { ready: false, started: false, state: { terminated: end } });
    ctx.changed();
    return end;
  }

  async function probe(pid: number, signal: AbortSignal): Promise<void> {
    const inside = { container, podIp: ctx.podIp, pid };
    const kill = () => {
      ctx.say("Normal", "Killing", `Container ${container.name} failed a probe, will be restarted`);
      void end(graceOf());
    };
    if (container.startupProbe) {
      const isWell = await watchProbe(
        "Startup",
        container.startupProbe,
        inside,
        signal,
        () => true,
        () => true,
      );
      if (signal.aborted) return;
      if (!isWell) return kill();
      status.started = true;
      status.ready = container.readinessProbe === undefined;
      ctx.changed();
    }
    const become = (ready: boolean) => {
      if (status.ready !== ready && !signal.aborted) {
        status.ready = ready;
        ctx.changed();
      }
      return false;
    };
    const { readinessProbe, livenessProbe } = container;
    if (readinessProbe)
      void watchProbe(
        "Readiness",
        readinessProbe,
        inside,
        signal,
        () => become(true),
        () => become(false),
      );
    if (livenessProbe) {
      const isWell = await watchProbe(
        "Liveness",
        livenessProbe,
        inside,
        signal,
        () => false,
        () => true,
      );
      if (!isWell && !signal.aborted) kill();
    }
  }

  /** Asks again and again; `onWell` and `onIll` are told at each threshold and end the watch by true. */
  async function watchProbe(
    name: string,
    it: Probe,
    inside: Parameters<typeof ask>[1],
    signal: AbortSignal,
    onWell: () => boolean,
    onIll: () => boolean,
  ): Promise<boolean> {
    await sleep((it.initialDelaySeconds ?? 0) * 1_000, undefined, { signal }).catch(() => {});
    for (let wells = 0, ills = 0; !signal.aborted; ) {
      const ill = await ask(it, inside, (it.timeoutSeconds ?? 1) * 1_000);
      if (signal.aborted) return true;
      if (ill === undefined) {
        ills = 0;
        if (++wells >= (it.successThreshold ?? 1) && onWell()) return true;
      } else {
        wells = 0;
        ctx.say("Warning", "Unhealthy", `${name} probe failed: ${ill}`);
        if (++ills >= (it.failureThreshold ?? 3) && onIll()) return false;
      }
      await sleep((it.periodSeconds ?? 10) * 1_000, undefined, { signal }).catch(() => {});
    }
    return true;
  }

  function graceOf(): number {
    return (ctx.pod.spec.terminationGracePeriodSeconds ?? 30) * 1_000;
  }

  /** preStop, SIGTERM, and SIGKILL when the grace is over; preStop counts into the grace. */
  async function end(graceMs: number): Promise<void> {
    const one = child;
    if (!one?.pid) return;
    const late = setTimeout(() => killGroup(one), graceMs);
    const closed = new Promise<void>((resolve) => one.once("close", () => resolve()));
    const preStop = container.lifecycle?.preStop;
    if (preStop) {
      const failure = await Promise.race([
        ask(preStop, { container, podIp: ctx.podIp, pid: one.pid }, graceMs),
        closed.then(() => undefined),
      ]);
      if (failure) ctx.say("Warning", "FailedPreStopHook", `PreStopHook failed: ${failure}`);
    }
    if (one.exitCode === null && one.signalCode === null) one.kill("SIGTERM");
    if (one.exitCode === null && one.signalCode === null) await closed;
    clearTimeout(late);
  }

  return {
    status,
    container,
    logFile,
    run(restart) {
      running = (async () => {
        for (let pauseMs = ctx.backOffMs; !isOver(); pauseMs = Math.min(pauseMs * 2, BACK_OFF_MAX_MS)) {
          const end = await once();
          if (!end || isOver()) return;
          if (restart === "Never" || (restart === "OnFailure" && end.exitCode === 0)) return;
          status.lastState = { terminated: end };
          const message = `back-off ${pauseMs / 1_000}s restarting failed container=${container.name}`;
          ctx.say("Warning", "BackOff", `Back-off restarting failed container ${container.name}`);
          wait({ waiting: { reason: "CrashLoopBackOff", message } });
          await pause(pauseMs);
          status.restartCount++;
        }
      })();
      return running;
    },
    async stop(graceMs) {
      stopping.abort();
      if (child) ctx.say("Normal", "Killing", `Stopping container ${container.name}`);
      await end(graceMs);
      await running;
    },
    kill(reason) {
      killedFor = reason;
      if (child) killGroup(child);
    },
  };
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid) process.kill(-child.pid, "SIGKILL");
  } catch {
    // ended in this moment
  }
}

/** 128 + the number, as shells count. */
const SIGNALS: Readonly<Record<string, number>> = {
  SIGKILL: 9,
  SIGTERM: 15,
  SIGABRT: 6,
  SIGSEGV: 11,
  SIGINT: 2,
};

function termination(
  code: number | null,
  signal: NodeJS.Signals | null,
  killedFor: string | undefined,
  startedAt: string,
  message?: string,
): Terminated {
  const exitCode = code ?? 128 + (SIGNALS[signal ?? ""] ?? 0);
  const reason = killedFor ?? (exitCode === 0 ? "Completed" : "Error");
  return { exitCode, reason, ...(message === undefined ? {} : { message }), startedAt, finishedAt: now() };
}

function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}
