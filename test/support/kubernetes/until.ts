/** Waits for something that a cluster does in its own time. */
import { setTimeout as sleep } from "node:timers/promises";

/** Controllers and engines take seconds; on a busy machine a minute. */
const WAIT_MAX_MS = 120_000;
const LOOK_EVERY_MS = 150;

/** Looks until it is so; fails, naming what never came, and with the last error of the look. */
export async function until(what: string, look: () => Promise<boolean>, maxMs = WAIT_MAX_MS): Promise<void> {
  const giveUpAt = performance.now() + maxMs;
  for (;;) {
    let failure: unknown;
    try {
      if (await look()) return;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > giveUpAt) throw new Error(`this never came: ${what}`, { cause: failure });
    await sleep(LOOK_EVERY_MS);
  }
}
