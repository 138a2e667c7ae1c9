/** Which mark of the runway is told, and when one may be told again: pure. */

/** How far the runway must rise above a mark before it counts as a new descent: burn rates sway by some percent. */
const RISE = 1.1;

export interface MarkPlan {
  /** The mark that is told from now on; null: none. */
  readonly toldSeconds: number | null;
  /** True: the user hears of it now. */
  readonly tell: boolean;
}

/**
 * Each mark is told once in a descent, and of several that were passed at once only the shortest. `runwaySeconds` null: nothing is
 * spent. `marks` in any order.
 */
export function planMark(
  runwaySeconds: number | null,
  marks: readonly number[],
  toldSeconds: number | null,
): MarkPlan {
  const runway = runwaySeconds ?? Number.POSITIVE_INFINITY;
  const passed = shortest(marks.filter((mark) => runway < mark));
  if (passed !== null && (toldSeconds === null || passed < toldSeconds))
    return { toldSeconds: passed, tell: true };
  if (toldSeconds === null || runway < toldSeconds * RISE) return { toldSeconds, tell: false };
  // Above the mark that was told, yet perhaps not above a longer one.
  const longer = marks.filter((mark) => mark > toldSeconds && runway < mark * RISE);
  return { toldSeconds: shortest(longer), tell: false };
}

/** The shortest of them; null where there is none. */
export function shortest(marks: readonly number[]): number | null {
  return marks.length === 0 ? null : Math.min(...marks);
}
