import { Connection, type Exchange, NotSentError, type Target } from "./connection.ts";

/** One exchange under way. */
export interface Sent {
  /** The connection that carries it now. */
  connection(): Connection;
  abort(): void;
}

/** Keep-alive connections to one replica; the last used is the first reused, so that surplus ones grow old and go. */
export class Pool {
  readonly #target: Target;
  readonly #idleMax: number;
  readonly #idle: Connection[] = [];

  constructor(target: Target, idleMax: number) {
    this.#target = target;
    this.#idleMax = idleMax;
  }

  /** Sends a request. A reused connection that dies before any byte of the answer is replaced once, unseen by the caller. */
  send(head: string, body: Buffer, exchange: Exchange): Sent {
    let connection = this.#take();
    let aborted = false;
    const onFailure = (error: Error) => {
      if (aborted || !(error instanceof NotSentError) || connection.used <= 1)
        return exchange.onFailure(error);
      connection = new Connection(this.#target, this.#release);
      connection.send(head, body, exchange);
    };
    connection.send(head, body, {
      onHead: (answer) => exchange.onHead(answer),
      onData: (piece) => exchange.onData(piece),
      onEnd: () => exchange.onEnd(),
      onFailure,
    });
    return {
      connection: () => connection,
      abort: () => {
        aborted = true;
        connection.abort();
      },
    };
  }

  close(): void {
    for (const connection of this.#idle.splice(0)) connection.abort();
  }

  #take(): Connection {
    for (let found = this.#idle.pop(); found; found = this.#idle.pop()) if (!found.dead) return found;
    return new Connection(this.#target, this.#release);
  }

  #release = (connection: Connection): void => {
    if (this.#idle.length < this.#idleMax) this.#idle.push(connection);
    else connection.abort();
  };
}
