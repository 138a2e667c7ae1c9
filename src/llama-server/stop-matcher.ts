/** Finds stop texts in a stream of text, wherever its pieces are cut. */

export interface StopMatcher {
  /** What may be shown now. `stop` is the stop text that ended the stream; after it nothing is shown. */
  push(text: string): { readonly text: string; readonly stop: string | undefined };
  /** What was held back as the possible beginning of a stop text that never came. */
  end(): string;
}

/**
 * The stream ends where the first stop text is complete; of several that complete at once the longest counts. The result does
 * not depend on how the text is cut into pieces. No character of a stop text is ever shown.
 */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  let held = "";
  return {
    push(text) {
      const buffer = held + text;
      const found = firstStop(buffer, stops);
      if (found) {
        held = "";
        return { text: buffer.slice(0, found.start), stop: found.stop };
      }
      const keep = longestBeginning(buffer, stops);
      held = buffer.slice(buffer.length - keep);
      return { text: buffer.slice(0, buffer.length - keep), stop: undefined };
    },
    end() {
      const rest = held;
      held = "";
      return rest;
    },
  };
}

function firstStop(buffer: string, stops: readonly string[]): { start: number; stop: string } | undefined {
  let best: { start: number; stop: string } | undefined;
  for (const stop of stops) {
    const start = buffer.indexOf(stop);
    if (start < 0) continue;
    const end = start + stop.length;
    const bestEnd = best ? best.start + best.stop.length : Number.POSITIVE_INFINITY;
    if (end < bestEnd || (end === bestEnd && start < (best?.start ?? 0))) best = { start, stop };
  }
  return best;
}

/** Length of the longest end of the buffer that begins some stop text. */
function longestBeginning(buffer: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, buffer.length); length > longest; length--) {
      if (buffer.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
