/** What a test leaves behind is undone in the reverse order of its making, and all of it, whatever fails. */

/** What a test context offers for cleaning up: `t` of node:test, or any `{ after }`. */
export interface Cleanup {
  after(work: () => Promise<void> | void): void;
}

type Work = () => Promise<void> | void;
const undoings = new WeakMap<Cleanup, Work[]>();

/**
 * Does `work` when the test ends, before everything that was registered here earlier. (node:test runs its own hooks oldest
 * first and stops at the first that fails: a home folder would go while the program still writes into it, and the program
 * would then be left running.)
 */
export function undoAfter(t: Cleanup, work: Work): void {
  const known = undoings.get(t);
  if (known) {
    known.push(work);
    return;
  }
  const works = [work];
  undoings.set(t, works);
  t.after(async () => {
    const failures: unknown[] = [];
    for (let undo = works.pop(); undo !== undefined; undo = works.pop()) {
      try {
        await undo();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "cleaning up after a test failed");
  });
}
