/**
 * Runs `work` over the items, at most `limit` at the same time, and answers in their order. All are run to their end; then the
 * first thing that was thrown is thrown.
 */
export async function eachLimited<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const answers: R[] = new Array(items.length);
  const thrown: unknown[] = [];
  const queue = items.entries();
  const lane = async () => {
    for (const [at, item] of queue) {
      try {
        answers[at] = await work(item);
      } catch (error) {
        thrown.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  if (thrown.length > 0) throw thrown[0];
  return answers;
}
