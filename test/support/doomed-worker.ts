/** Worker processes of their own over one driver, to be killed: what they are told, how they do it, and how they end. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";
import type { Driver, ReplicaSpec } from "../../src/providers/driver.ts";
import { liveCtx, untilPhase } from "./local-driver.ts";

export interface WorkerOrder {
  readonly spec: ReplicaSpec;
  readonly work: "apply" | "apply-until-up" | "remove";
  readonly graceMs?: number;
  /** Dies by SIGKILL at this step. */
  readonly killAt?: string;
}

/** In the worker: its order, from stdin. `T` is what the program takes beside. */
export async function readOrder<T>(): Promise<WorkerOrder & T> {
  return JSON.parse(await text(process.stdin));
}

/** In the worker: does it, says "done", then stays as it is. */
export async function carryOut(driver: Driver, order: WorkerOrder): Promise<void> {
  if (order.work === "remove") {
    await driver.remove(liveCtx, order.spec.name, { graceMs: order.graceMs ?? 0 });
  } else {
    await driver.apply(liveCtx, order.spec);
    if (order.work === "apply-until-up") await untilPhase(driver, order.spec.name, ["up", "gone"]);
  }
  process.stdout.write("done\n");
  setInterval(() => {}, 60_000);
}

/** Runs the order in a process of that program, and ends it by SIGKILL once it is carried out. */
export async function workerDies<T>(t: TestContext, program: string, order: WorkerOrder & T): Promise<void> {
  const child = spawn(process.execPath, [program], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => void child.kill("SIGKILL"));
  const exited = once(child, "exit");
  child.stdin.end(JSON.stringify(order));
  await Promise.race([once(child.stdout, "data"), exited]);
  child.kill("SIGKILL");
  await exited;
}
