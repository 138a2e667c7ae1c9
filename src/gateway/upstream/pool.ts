import type { AnswerHead } from "./answer-head.ts";
import { Connection, type Exchange, type Target, UnansweredError } from "./connection.ts";

/** Keep-alive connections to one replica; the last used is the first reused, so that surplus ones grow old and go. */
export class Pool {
  readonly #target: Target;
  #idleMax: number;
  readonly #idle: Connection[] = [];

  constructor(target: Target, idleMax: number) {
    this.#target = target;
    this.#idleMax = idleMax;
  }

  /** Sends a request. A reused connection that dies before any byte of the answer is replaced once, unseen by the caller. */
  send(head: string, body: Buffer, exchange: Exchange): Sent {
    return new Sent(this, head, body, exchange);
  }

  /** A connection that is open already, or a fresh one. */
  take(): Connection {
    for (let found = this.#idle.pop(); found; found = this.#idle.pop()) if (!found.dead) return found;
    return this.fresh();
  }

  fresh(): Connection {
    return new Connection(this.#target, this.#release);
  }

  /** Lets go of what is idle; what is under way ends, and its connection with it. */
  close(): void {
    this.#idleMax = 0;
    for (const connection of this.#idle.splice(0)) connection.abort();
  }

  #release = (connection: Connection): void => {
    if (this.#idle.length < this.#idleMax) this.#idle.push(connection);
    else connection.abort();
  };
}

/** One exchange under way. Once it is over nothing here reaches the connection, which may carry another's by then. */
export class Sent implements Exchange {
  readonly #pool: Pool;
  readonly #head: string;
  readonly #body: Buffer;
  readonly #exchange: Exchange;
  #connection: Connection;
  #replaced = false;
  #over = false;

  constructor(pool: Pool, head: string, body: Buffer, exchange: Exchange) {
    this.#pool = pool;
    this.#head = head;
    this.#body = body;
    this.#exchange = exchange;
    this.#connection = pool.take();
    this.#connection.send(head, body, this);
  }

  get connecting(): boolean {
    return !this.#over && !this.#connection.connected;
  }

  /** What was read so far ends between two chunks. Holds for an answer that broke off, too. */
  get atBoundary(): boolean {
    return this.#connection.atBoundary;
  }

  pause(): void {
    if (!this.#over) this.#connection.pause();
  }

  resume(): void {
    if (!this.#over) this.#connection.resume();
  }

  /** Gives the answer up; the exchange hears nothing more. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#connection.abort();
  }

  onHead(head: AnswerHead): void {
    this.#exchange.onHead(head);
  }

  onData(piece: Buffer, last: boolean): void {
    this.#exchange.onData(piece, last);
  }

  onEnd(): void {
    if (this.#over) return;
    this.#over = true;
    this.#exchange.onEnd();
  }

  onFailure(error: Error): void {
    if (this.#over) return;
    if (error instanceof UnansweredError && this.#connection.used > 1 && !this.#replaced) {
      this.#replaced = true;
      this.#connection = this.#pool.fresh();
      this.#connection.send(this.#head, this.#body, this);
      return;
    }
    this.#over = true;
    this.#exchange.onFailure(error);
  }
}
