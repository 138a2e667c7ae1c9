/** Goes on at once with a value that is there already, as nearly every request's are: what waits costs a turn of the event loop. */
export function after<T, R>(value: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}
