/** Processes that are killed at random moments and come back: on their old disk, or on an empty one. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { STEPS } from "../../../src/base/steps.ts";
import { type Cleanup, undoAfter } from "../../support/cleanup.ts";
import type { GatewayOrder } from "./gateway-process.ts";
import type { WorkerOrder } from "./worker-process.ts";

const DISK_LOST = 0.3;
/** Of the processes that come back some die at a named step. */
const DIES_AT_STEP = 0.4;
const REACHED_MAX = 20;
const GATEWAY_STEPS = STEPS.filter((step) => step.startsWith("gateway."));

type Order =
  | { readonly kind: "gateway"; readonly order: GatewayOrder }
  | { readonly kind: "worker"; readonly order: WorkerOrder };

interface Place {
  readonly what: Order;
  child: ChildProcess | undefined;
}

export interface Crowd {
  readonly counts: { kills: number; disksLost: number };
  /** Requests whose evidence names one of these disks, and that were served before, may have been lost with it: when. */
  readonly lost: readonly { readonly home: string; readonly atMs: number }[];
  /** Kills one of them, and whatever died by itself comes back. */
  disturb(): Promise<void>;
  /** Those that died come back a last time, and all end well. */
  endWell(): Promise<void>;
}

export function crowd(t: Cleanup, whats: readonly Order[]): Crowd {
  const places: Place[] = whats.map((what) => ({ what, child: undefined }));
  const counts = { kills: 0, disksLost: 0 };
  const lost: { home: string; atMs: number }[] = [];
  undoAfter(t, () => {
    for (const { child } of places) child?.kill("SIGKILL");
  });
  for (const place of places) start(place, undefined);
  return {
    counts,
    lost,
    async disturb() {
      const place = places[Math.floor(Math.random() * places.length)];
      if (place) await kill(place, counts);
      for (const dead of places.filter(({ child }) => !isRunning(child))) {
        if (dead.what.kind === "gateway" && Math.random() < DISK_LOST) {
          rmSync(dead.what.order.home, { recursive: true, force: true });
          lost.push({ home: dead.what.order.home, atMs: Date.now() });
          counts.disksLost++;
        }
        start(dead, Math.random() < DIES_AT_STEP ? stepToDieAt() : undefined);
      }
    },
    async endWell() {
      for (const place of places) await kill(place, counts);
      for (const place of places) start(place, undefined);
      await Promise.all(places.map(endOne));
    },
  };
}

function start(place: Place, killAt: string | undefined): void {
  const { kind, order } = place.what;
  const program = fileURLToPath(new URL(`./${kind}-process.ts`, import.meta.url));
  const argument = JSON.stringify({ ...order, ...(killAt === undefined ? {} : { killAt }) });
  place.child = spawn(process.execPath, [program, argument], { stdio: ["ignore", "pipe", "inherit"] });
}

function stepToDieAt(): string {
  const step = GATEWAY_STEPS[Math.floor(Math.random() * GATEWAY_STEPS.length)];
  return `${step}:${1 + Math.floor(Math.random() * REACHED_MAX)}`;
}

async function kill({ child }: Place, counts: { kills: number }): Promise<void> {
  if (!child) return;
  counts.kills++;
  if (!isRunning(child)) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

/** Asked to end once it serves: before that nobody listens. */
async function endOne({ child }: Place): Promise<void> {
  if (!child) return;
  const exited = once(child, "exit");
  await once(child.stdout ?? child, "data");
  child.kill("SIGTERM");
  const [code] = await exited;
  if (code !== 0) throw new Error(`a process did not end well: ${code}`);
}

function isRunning(child: ChildProcess | undefined): boolean {
  return child !== undefined && child.exitCode === null && child.signalCode === null;
}
