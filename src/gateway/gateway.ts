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
import { Running } from "./running.ts";
import { Salts } from "./salts.ts";
import { createDoor } from "./server.ts";
import { UsageLog } from "./usage-log/usage-log.ts";

const TICK_MS = 100;
/** Slices, idle replicas and key counters are looked at less often than deadlines. */
const TICKS_PER_TIDY = 10;
const DRAIN_LOOK_MS = 20;
/** After the last clients are cut off: a look at the clock, a tokenizer that is asked, a write to the disk. */
const LAST_RECORDS_MS = 4_000;
const SHIP_AT_CLOSE_MS = 10_000;
/** A ledger that does not answer settles the slices by itself when their time is over. */
const CLOSE_SLICES_MS = 5_000;

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
      await drained(parts, drainMs);
      door.closeAllConnections();
      await closed;
      await drained(parts, deps.limits.hangUpMs + LAST_RECORDS_MS);
      await parts.usageLog.close(SHIP_AT_CLOSE_MS);
      await atMost(deps, CLOSE_SLICES_MS, parts.purse.tidy(true));
      stopHearing();
      stopped.abort();
      await ticking;
      parts.directory.close();
      parts.replicas.close();
    },
  };
}

function assemble(deps: GatewayDeps, registry: Registry, closing: AbortSignal): Parts {
  const purse: Purse = new Purse(deps, () => usageLog.ship());
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
    metrics: new Metrics(registry, () => ({
      unshipped: usageLog.unshipped(),
      active: replicas.active(),
      slices: purse.size,
    })),
    entering: 0,
    relays: new Running<Relay>(),
    salts: new Salts(deps.box.derive("cache-salt")),
    closing,
    countPrompt: promptCounter(deps, replicas),
  };
}

async function tick(parts: Parts, stopped: AbortSignal): Promise<void> {
  const { clock } = parts.deps;
  let tidying: Promise<void> | undefined;
  for (let turn = 1; !stopped.aborted; turn++) {
    await clock.sleep(TICK_MS, stopped).catch(() => {});
    const now = clock.monotonicMs();
    for (const relay of parts.relays.list()) relay.tick(now);
    if (turn % TICKS_PER_TIDY !== 0) continue;
    parts.replicas.tidy();
    parts.admission.tidy();
    // Not waited for: a ledger that does not answer must not stop the deadlines of requests.
    tidying ??= parts.purse.tidy().finally(() => {
      tidying = undefined;
    });
  }
  await tidying;
}

async function atMost(deps: GatewayDeps, ms: number, work: Promise<void>): Promise<void> {
  const done = new AbortController();
  await Promise.race([work, deps.clock.sleep(ms, done.signal).catch(() => {})]);
  done.abort();
}

async function drained(parts: Parts, ms: number): Promise<void> {
  const { clock } = parts.deps;
  const until = clock.monotonicMs() + ms;
  while (parts.relays.size + parts.entering > 0 && clock.monotonicMs() < until)
    await clock.sleep(DRAIN_LOOK_MS);
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
