/** Puts one gateway together, keeps its clocks going, and takes it apart again without losing a record. */
import type { Server } from "node:http";
import { Registry } from "prom-client";
import { Admission } from "./admission.ts";
import { promptCounter } from "./count-prompt.ts";
import { Directory } from "./directory.ts";
import { Metrics } from "./metrics.ts";
import type { Parts } from "./parts.ts";
import type { GatewayDeps } from "./ports.ts";
import { Purse } from "./purse.ts";
import type { Relay } from "./relay.ts";
import { Replicas } from "./replicas.ts";
import { createDoor } from "./server.ts";
import { UsageLog } from "./usage-log/usage-log.ts";

const TICK_MS = 100;
/** Slices, idle replicas and key counters are looked at less often than deadlines. */
const TICKS_PER_TIDY = 10;
const SHIP_AT_CLOSE_MS = 10_000;

export interface Gateway {
  listen(port: number, host: string): Promise<{ readonly port: number }>;
  /** Takes no more, lets running answers finish for at most `drainMs`, ships usage and closes slices. */
  close(options: { readonly drainMs: number }): Promise<void>;
  readonly registry: Registry;
  /** Requests let in and requests ended: equal at rest. */
  counts(): { readonly admitted: number; readonly finished: number; readonly active: number };
}

export function createGateway(deps: GatewayDeps): Gateway {
  const registry = new Registry();
  const closing = new AbortController();
  const stopped = new AbortController();
  const parts = assemble(deps, registry, closing.signal);
  const door = createDoor(parts);
  const ticking = tick(parts, stopped.signal);
  const stopHearing = deps.control.onChange((what) => {
    if (what.startsWith("slice:")) parts.purse.recall(what.slice("slice:".length));
  });
  return {
    registry,
    listen: (port, host) => listen(door, port, host),
    counts: () => ({
      admitted: parts.metrics.admittedCount,
      finished: parts.metrics.finishedCount,
      active: parts.replicas.active(),
    }),
    async close({ drainMs }) {
      closing.abort();
      const closed = new Promise((resolve) => door.close(resolve));
      door.closeIdleConnections();
      await drained(deps, parts.relays, drainMs);
      door.closeAllConnections();
      await closed;
      await drained(deps, parts.relays, deps.limits.hangUpMs * 2);
      await parts.usageLog.close(SHIP_AT_CLOSE_MS);
      await parts.purse.tidy(true);
      stopHearing();
      stopped.abort();
      await ticking;
      parts.directory.close();
      parts.replicas.close();
    },
  };
}

function assemble(deps: GatewayDeps, registry: Registry, closing: AbortSignal): Parts {
  const purse = new Purse(deps);
  const usageLog = new UsageLog(deps, (records) =>
    purse.shipped(records.flatMap((record) => (record.sliceId === null ? [] : [record.sliceId]))),
  );
  const replicas = new Replicas(deps);
  return {
    deps,
    directory: new Directory(deps),
    admission: new Admission(deps),
    purse,
    replicas,
    usageLog,
    metrics: new Metrics(registry, () => usageLog.unshipped()),
    relays: new Set<Relay>(),
    saltKey: deps.box.derive("cache-salt"),
    closing,
    countPrompt: promptCounter(deps, replicas),
  };
}

async function tick(parts: Parts, stopped: AbortSignal): Promise<void> {
  const { clock, log } = parts.deps;
  for (let turn = 1; !stopped.aborted; turn++) {
    await clock.sleep(TICK_MS, stopped).catch(() => {});
    const now = clock.monotonicMs();
    for (const relay of parts.relays) relay.tick(now);
    if (turn % TICKS_PER_TIDY !== 0) continue;
    parts.replicas.tidy();
    parts.admission.tidy();
    await parts.purse
      .tidy()
      .catch((error: unknown) => log.warn({ err: error }, "slices could not be tidied"));
  }
}

async function drained(deps: GatewayDeps, relays: ReadonlySet<Relay>, ms: number): Promise<void> {
  const until = deps.clock.monotonicMs() + ms;
  while (relays.size > 0 && deps.clock.monotonicMs() < until) await deps.clock.sleep(20);
}

function listen(door: Server, port: number, host: string): Promise<{ port: number }> {
  return new Promise((resolve, reject) => {
    door.once("error", reject);
    door.listen(port, host, 4_096, () => {
      door.off("error", reject);
      const address = door.address();
      resolve({ port: typeof address === "object" && address !== null ? address.port : port });
    });
  });
}
