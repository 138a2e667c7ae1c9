/** Runs `work` over the items, at most `limit` at the same time. All are run to their end; then the first thing that was thrown is thrown. */
export async function eachLimited<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const thrown: unknown[] = [];
  const queue = items.values();
  const lane = async () => {
    for (const item of queue) {
      try {
        await work(item);
      } catch (error) {
        thrown.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  if (thrown.length > 0) throw thrown[0];
}
