/**
 * What gateways ask of the ledger, on its way. The history decides which call arrives next and what becomes of it; until then its
 * caller waits. Between two deliveries gateways run on as far as they can, so a seed gives the same history each time.
 */
import type { Chance } from "../base/chance.ts";
import type { Story } from "./story.ts";

/** Who calls; one that stands still hears no answer until it goes on. */
export interface Caller {
  readonly name: string;
  readonly frozen: boolean;
}

interface Call {
  readonly caller: Caller;
  readonly what: string;
  /** Somebody may do it again who does not know that it was done. */
  readonly repeats: boolean;
  /** What it does at the ledger. */
  arrive(): Promise<void>;
  answer(): void;
  fail(): void;
  /** It was at the ledger: only its answer is on the way. */
  readonly arrived?: boolean;
}

/** How often a call goes wrong, each way. */
const LOST = 0.06;
const ANSWER_LOST = 0.06;
const LATE = 0.03;
const TWICE = 0.05;

export class Network {
  readonly #chance: Chance;
  readonly #story: Story;
  readonly #waiting: Call[] = [];
  /** Whether calls go wrong. */
  faults = true;
  /** Whether some arrive after their caller has given up. */
  lateFaults = true;

  constructor(chance: Chance, story: Story) {
    this.#chance = chance;
    this.#story = story;
  }

  /** Calls and answers that can be delivered now. */
  get size(): number {
    return this.#ready().length;
  }

  /** Resolves with what `work` gives once the call was delivered and answered; rejects when it, or its answer, is lost. */
  send<T>(caller: Caller, what: string, repeats: boolean, work: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let done: (() => void) | undefined;
      this.#waiting.push({
        caller,
        what,
        repeats,
        async arrive() {
          try {
            const value = await work();
            done = () => resolve(value);
          } catch (error) {
            done = () => reject(error);
          }
        },
        answer: () => done?.(),
        fail: () => reject(new Error(`${what} got no answer`)),
      });
    });
  }

  /** One of the waiting calls reaches the ledger, or does not. Resolves when its caller has gone on as far as it can. */
  async deliver(): Promise<void> {
    const call = this.#chance.pick("call", this.#ready());
    this.#waiting.splice(this.#waiting.indexOf(call), 1);
    if (call.arrived) call.answer();
    else await this.#fateOf(call);
    await turn();
  }

  #ready(): readonly Call[] {
    return this.#waiting.filter((call) => !call.arrived || !call.caller.frozen);
  }

  async #fateOf(call: Call): Promise<void> {
    const draw = this.faults ? this.#chance.draw(`fate/${call.what}`) : 1;
    if (draw < LOST) {
      this.#story.fault(`${call.what} of ${call.caller.name} is lost`);
      return call.fail();
    }
    if (draw < LOST + LATE && this.lateFaults) {
      this.#story.fault(`${call.what} of ${call.caller.name} is late: its caller has given up`);
      call.fail();
      this.#waiting.push({ ...call, answer: () => {}, fail: () => {} });
      return;
    }
    await call.arrive();
    if (draw < LOST + LATE + ANSWER_LOST) {
      this.#story.fault(`the answer to ${call.what} of ${call.caller.name} is lost`);
      return call.fail();
    }
    if (draw < LOST + LATE + ANSWER_LOST + TWICE && call.repeats) {
      this.#story.fault(`${call.what} of ${call.caller.name} arrives twice`);
      await call.arrive();
    }
    if (call.caller.frozen) this.#waiting.push({ ...call, arrived: true });
    else call.answer();
  }
}

/** Everything that can go on without time or the ledger does so. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
