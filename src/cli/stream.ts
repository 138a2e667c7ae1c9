import { isNetworkError } from "./failure.ts";
import type { Session } from "./session.ts";

/** Times in a row that a stream is taken up again after it broke soon. */
const REPEATS_MAX = 5;
const WAIT_MS = 1_000;
/** A stream that lasted so long worked: what breaks after it is a new trouble. */
const LASTED_MS = 10_000;

/**
 * Runs `read` until it returns: the stream ended as it should. A stream that breaks is taken up again; `read` begins where
 * it was. The user's interrupt ends it as a success: following is left, not failed.
 */
export async function followed(
  session: Session,
  read: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { clock, interrupted } = session.io;
  for (let repeats = 0; ; repeats++) {
    const startedMs = clock.monotonicMs();
    try {
      return await read(interrupted);
    } catch (error) {
      if (interrupted.aborted) return;
      if (clock.monotonicMs() - startedMs >= LASTED_MS) repeats = 0;
      if (!isNetworkError(error) || repeats >= REPEATS_MAX) throw error;
      session.progress.line("The connection broke; taking it up again …");
      await clock.sleep(WAIT_MS, interrupted).catch(() => {});
    }
  }
}
