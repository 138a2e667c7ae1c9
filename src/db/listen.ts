import pg from "pg";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";

export interface ListenOptions {
  readonly url: string;
  readonly channels: readonly string[];
  readonly log: Log;
  readonly clock: Clock;
  onNotify(channel: string, payload: string): void;
  /** Called after every (re)connection: what was missed meanwhile must be read from the tables. */
  onConnect?(): void;
}

const RECONNECT_MS = 1_000;

/** Keeps one connection listening, for ever, until the returned function is called. Notifications only wake; tables tell. */
export function listen(options: ListenOptions): () => Promise<void> {
  let client: pg.Client | undefined;
  let stopped = false;
  const connect = async (): Promise<void> => {
    const next = new pg.Client({
      connectionString: options.url,
      application_name: "slipway-listen",
      keepAlive: true,
    });
    client = next;
    const lost = new Promise<void>((resolve) => {
      next.on("error", () => resolve());
      next.on("end", () => resolve());
    });
    next.on("notification", (message) => options.onNotify(message.channel, message.payload ?? ""));
    await next.connect();
    for (const channel of options.channels) await next.query(`listen ${pg.escapeIdentifier(channel)}`);
    options.onConnect?.();
    await lost;
  };
  const loop = (async () => {
    while (!stopped) {
      try {
        await connect();
      } catch (error) {
        options.log.debug({ err: error }, "listen connection failed");
      }
      await client?.end().catch(() => {});
      if (!stopped) await options.clock.sleep(RECONNECT_MS);
    }
  })();
  return async () => {
    stopped = true;
    await client?.end().catch(() => {});
    await Promise.race([loop, options.clock.sleep(100)]);
  };
}
