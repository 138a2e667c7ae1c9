/** One shared model: a place is given to the accounts in turn, so that nobody waits behind another's flood. */
import { refused } from "./openai-error.ts";

/** A client that waits, and may go away meanwhile. */
export interface Client {
  readonly destroyed: boolean;
  once(event: "close", listener: () => void): unknown;
}

interface Waiting {
  readonly start: () => void;
  over: boolean;
}

export class FairQueue {
  readonly #max: number;
  readonly #queueMax: number;
  #active = 0;
  #waiting = 0;
  /** The map's order is the order of turns. */
  readonly #accounts = new Map<string, Waiting[]>();

  constructor(max: number, queueMax: number) {
    this.#max = max;
    this.#queueMax = queueMax;
  }

  get isEmpty(): boolean {
    return this.#active === 0 && this.#waiting === 0;
  }

  /** A place at once where there is one, else a promise of it; rejects when the client goes away first. Throws RATE_LIMITED. */
  enter(account: string, client: Client): void | Promise<void> {
    if (this.#active < this.#max) {
      this.#active++;
      return;
    }
    if (this.#waiting >= this.#queueMax) {
      throw refused(
        "RATE_LIMITED",
        "This model has no free place and its queue is full. Try again shortly.",
        {
          retryAfterMs: 1_000,
        },
      );
    }
    return this.#wait(account, client);
  }

  leave(): void {
    this.#active--;
    const next = this.#next();
    if (!next) return;
    this.#active++;
    next.start();
  }

  #wait(account: string, client: Client): Promise<void> {
    this.#waiting++;
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { start: resolve, over: false };
      const line = this.#accounts.get(account);
      if (line) line.push(waiting);
      else this.#accounts.set(account, [waiting]);
      client.once("close", () => {
        if (waiting.over) return;
        waiting.over = true;
        this.#waiting--;
        reject(refused("CANCELLED", "The client went away."));
      });
    });
  }

  /** The first of the account whose turn it is, without those who went away. */
  #next(): Waiting | undefined {
    for (const [account, line] of this.#accounts) {
      this.#accounts.delete(account);
      const next = line.find((one) => !one.over);
      if (!next) continue;
      const rest = line.slice(line.indexOf(next) + 1);
      if (rest.length > 0) this.#accounts.set(account, rest); // behind the others: its next turn is a round away
      next.over = true;
      this.#waiting--;
      return next;
    }
    return undefined;
  }
}
