/** One keep-alive connection to a replica, and what happens on it. The replica is trusted to be ours, not to be right. */
import { connect as connectTcp, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { connectPinned } from "../../base/pinned-tls.ts";
import { type AnswerHead, FramingError, parseHead } from "./answer-head.ts";
import { ChunkFollower } from "./chunks.ts";
import { sendAtTurnsEnd } from "./outbox.ts";

const HEAD_END = Buffer.from("\r\n\r\n");
const HEAD_MAX_BYTES = 16_384;

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly certificateSha256?: string;
}

/**
 * What all connections read into: the loop reads one socket at a time, and a piece is used up before the next is read. It spares
 * every read an allocation and the way through a stream.
 */
const READ_BUFFER = Buffer.allocUnsafe(65_536);

/** Hears one exchange. After `onEnd` or `onFailure` nothing more comes. */
export interface Exchange {
  onHead(head: AnswerHead): void;
  /**
   * Bytes as they came, with chunk framing where the head says chunked. `last`: the answer is complete with them. They are
   * overwritten when the call returns.
   */
  onData(piece: Buffer, last: boolean): void;
  onEnd(): void;
  onFailure(error: Error): void;
}

/** The connection never came about: the request was not seen by anybody. */
export class NotSentError extends Error {}

/** The request went out, and not a byte of an answer came: a replica may have seen it. */
export class UnansweredError extends Error {}

type Phase = "idle" | "head" | "body" | "dead";

export class Connection {
  readonly #socket: Socket | TLSSocket;
  readonly #release: (connection: Connection) => void;
  #phase: Phase = "idle";
  #exchange: Exchange | undefined;
  #pending: Buffer | undefined;
  #follower: ChunkFollower | undefined;
  #left = 0;
  #keepAlive = true;
  /** A request that waits for the connection to be open. */
  #waiting: { readonly head: string; readonly body: Buffer } | undefined;
  /** How many exchanges it has carried. */
  used = 0;
  connected = false;

  constructor(target: Target, release: (connection: Connection) => void) {
    this.#release = release;
    const { certificateSha256: pin } = target;
    this.#socket = pin === undefined ? this.#tcp(target) : this.#pinnedTls(target, pin);
    this.#socket.setNoDelay(true);
    this.#socket.on("error", (error) => this.#lost(error));
    this.#socket.on("close", () => this.#lost(new Error("the replica closed the connection")));
  }

  get dead(): boolean {
    return this.#phase === "dead";
  }

  /** True between two chunks of an answer: a chunk of one's own may be put there. */
  get atBoundary(): boolean {
    return this.#follower?.atBoundary === true;
  }

  send(head: string, body: Buffer, exchange: Exchange): void {
    this.#exchange = exchange;
    this.#phase = "head";
    this.used++;
    if (this.connected) this.#write(head, body);
    else this.#waiting = { head, body };
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Ends the exchange and the connection; the exchange hears nothing more. */
  abort(): void {
    this.#exchange = undefined;
    this.#waiting = undefined;
    this.#phase = "dead";
    this.#socket.destroy();
  }

  #write(head: string, body: Buffer): void {
    const bytes = Buffer.allocUnsafe(head.length + body.length);
    bytes.write(head, "latin1");
    body.copy(bytes, head.length);
    sendAtTurnsEnd(this.#socket, bytes);
  }

  #open(): void {
    this.connected = true;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) this.#write(waiting.head, waiting.body);
  }

  #tcp(target: Target): Socket {
    const onread = {
      buffer: READ_BUFFER,
      callback: (count: number) => {
        this.#data(READ_BUFFER.subarray(0, count));
        return true;
      },
    };
    const socket = connectTcp({ host: target.host, port: target.port, keepAlive: true, onread });
    socket.once("connect", () => this.#open());
    return socket;
  }

  #pinnedTls(target: Target, certificateSha256: string): TLSSocket {
    const { host, port } = target;
    const socket = connectPinned(
      { host, port, certificateSha256 },
      { opened: () => this.#open(), failed: (error) => this.#lost(error) },
    );
    socket.setKeepAlive(true);
    socket.on("data", (piece: Buffer) => this.#data(piece));
    return socket;
  }

  #lost(error: Error): void {
    const exchange = this.#exchange;
    const unanswered = this.#phase === "head" && this.#pending === undefined;
    const { connected } = this;
    this.abort();
    if (!exchange) return;
    if (!connected) exchange.onFailure(new NotSentError(error.message, { cause: error }));
    else if (unanswered) exchange.onFailure(new UnansweredError(error.message, { cause: error }));
    else exchange.onFailure(error);
  }

  #data(piece: Buffer): void {
    try {
      if (this.#phase === "head") this.#headBytes(piece);
      else if (this.#phase === "body") this.#bodyBytes(piece);
      else this.abort(); // bytes that nobody asked for: whose answer would they be?
    } catch (error) {
      this.#phase = "body"; // an answer was begun, however bad
      this.#lost(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #headBytes(piece: Buffer): void {
    const bytes = this.#pending ? Buffer.concat([this.#pending, piece]) : piece;
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) {
      if (bytes.length > HEAD_MAX_BYTES) throw new FramingError("head too large");
      this.#pending = this.#pending ? bytes : Buffer.from(piece);
      return;
    }
    const head = parseHead(bytes.toString("latin1", 0, end));
    if (head.status < 200) throw new FramingError("an interim answer that nobody asked for");
    this.#pending = undefined;
    this.#keepAlive = head.keepAlive;
    this.#phase = "body";
    this.#left = head.length;
    this.#follower = head.length < 0 ? new ChunkFollower() : undefined;
    this.#exchange?.onHead(head);
    if (end + 4 < bytes.length || head.length === 0) this.#bodyBytes(bytes.subarray(end + 4));
  }

  #bodyBytes(piece: Buffer): void {
    const follower = this.#follower;
    const mine = follower ? follower.follow(piece) : Math.min(piece.length, this.#left);
    if (!follower) this.#left -= mine;
    const ended = follower ? follower.done : this.#left === 0;
    const surplus = mine < piece.length;
    if (mine > 0) this.#exchange?.onData(surplus ? piece.subarray(0, mine) : piece, ended);
    if (ended) this.#ended(surplus);
  }

  #ended(surplus: boolean): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    if (this.#phase === "dead") return;
    this.#phase = "idle";
    // Surplus bytes are nobody's: what would come next on this connection can't be told from them.
    if (surplus || !this.#keepAlive) this.abort();
    else {
      this.#socket.resume(); // a slow client may have paused it, and the next exchange is another client's
      this.#release(this);
    }
    exchange?.onEnd();
  }
}
