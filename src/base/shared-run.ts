/** The work, of which one run goes on at a time: who asks meanwhile gets that one's outcome. The arguments are the first one's. */
export function sharedRun<Args extends readonly unknown[], T>(
  work: (...args: Args) => Promise<T>,
): (...args: Args) => Promise<T> {
  let running: Promise<T> | undefined;
  return (...args) => {
    running ??= work(...args).finally(() => {
      running = undefined;
    });
    return running;
  };
}
