/**
 * The requests under way. Not a Set: a Set's old tables stay referenced by the collector until its slow pass, and with them every
 * request that was under way when they were left, which more than doubles the memory of a busy gateway.
 */
export class Running<T extends { place: number }> {
  readonly #all: T[] = [];

  get size(): number {
    return this.#all.length;
  }

  add(one: T): void {
    one.place = this.#all.length;
    this.#all.push(one);
  }

  /** Takes out one that was added; the last one gets its place. */
  delete(one: T): void {
    const last = this.#all.pop();
    if (last === undefined || last === one) return;
    this.#all[one.place] = last;
    last.place = one.place;
  }

  /** Those under way now; what starts or ends meanwhile changes nothing of it. */
  list(): readonly T[] {
    return [...this.#all];
  }
}
