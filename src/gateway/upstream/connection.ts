/** One keep-alive connection to a replica, and what happens on it. The replica is trusted to be ours, not to be right. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { type AnswerHead, FramingError, parseHead } from "./answer-head.ts";
import { ChunkFollower } from "./chunks.ts";

const HEAD_END = Buffer.from("\r\n\r\n");
const HEAD_MAX_BYTES = 16_384;

export interface Target {
  readonly host: string;
  readonly port: number;
  readonly certificateSha256?: string;
}

/** Hears one exchange. After `onEnd` or `onFailure` nothing more comes. */
export interface Exchange {
  onHead(head: AnswerHead): void;
  /** Bytes as they came: with chunk framing where the head says chunked. `follower` has already followed them. */
  onData(piece: Buffer): void;
  onEnd(): void;
  onFailure(error: Error): void;
}

/** Nothing of the answer came: the request may not have been seen, and may be sent to another. */
export class NotSentError extends Error {}

type Phase = "idle" | "head" | "body" | "dead";

export class Connection {
  readonly #socket: Socket | TLSSocket;
  readonly #release: (connection: Connection) => void;
  #phase: Phase = "idle";
  #exchange: Exchange | undefined;
  #pending: Buffer | undefined;
  #left = 0;
  #keepAlive = true;
  /** A request that waits for the connection to be open. */
  #write: (() => void) | undefined;
  /** How many exchanges it has carried. */
  used = 0;
  connected = false;
  follower: ChunkFollower | undefined;

  constructor(target: Target, release: (connection: Connection) => void) {
    this.#release = release;
    this.#socket = target.certificateSha256 === undefined ? tcp(target) : this.#pinnedTls(target);
    this.#socket.setNoDelay(true);
    if (target.certificateSha256 === undefined) this.#socket.on("connect", () => this.#open());
    this.#socket.on("data", (piece: Buffer) => this.#data(piece));
    this.#socket.on("error", (error) => this.#lost(error));
    this.#socket.on("close", () => this.#lost(new Error("the replica closed the connection")));
  }

  get dead(): boolean {
    return this.#phase === "dead";
  }

  /** True while no byte of the running exchange's answer has come. */
  get unanswered(): boolean {
    return this.#phase === "head" && this.#pending === undefined;
  }

  send(head: string, body: Buffer, exchange: Exchange): void {
    this.#exchange = exchange;
    this.#phase = "head";
    this.used++;
    this.#write = () => {
      this.#socket.cork();
      this.#socket.write(head, "latin1");
      if (body.length > 0) this.#socket.write(body);
      this.#socket.uncork();
    };
    if (this.connected) this.#flush();
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
    this.#phase = "dead";
    this.#socket.destroy();
  }

  #open(): void {
    this.connected = true;
    this.#flush();
  }

  #flush(): void {
    const write = this.#write;
    this.#write = undefined;
    write?.();
  }

  /** TLS whose only trust is the certificate that the replica was started with: not a byte goes out before it was seen. */
  #pinnedTls(target: Target): TLSSocket {
    const socket = connectTls({ host: target.host, port: target.port, rejectUnauthorized: false });
    socket.once("secureConnect", () => {
      const seen = socket.getPeerCertificate().fingerprint256.replaceAll(":", "").toLowerCase();
      if (seen === target.certificateSha256) this.#open();
      else this.#lost(new Error("the replica's certificate is not the pinned one"));
    });
    return socket;
  }

  #lost(error: Error): void {
    const { unanswered } = this;
    const exchange = this.#exchange;
    this.abort();
    if (!exchange) return;
    exchange.onFailure(unanswered ? new NotSentError(error.message, { cause: error }) : error);
  }

  #data(piece: Buffer): void {
    try {
      if (this.#phase === "head") this.#headBytes(piece);
      else if (this.#phase === "body") this.#bodyBytes(piece);
      else this.abort(); // bytes that nobody asked for: whose answer would they be?
    } catch (error) {
      this.#lost(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #headBytes(piece: Buffer): void {
    const bytes = this.#pending ? Buffer.concat([this.#pending, piece]) : piece;
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) {
      if (bytes.length > HEAD_MAX_BYTES) throw new FramingError("head too large");
      this.#pending = bytes;
      return;
    }
    this.#pending = undefined;
    const head = parseHead(bytes.toString("latin1", 0, end));
    if (head.status < 200) throw new FramingError("an interim answer that nobody asked for");
    this.#keepAlive = head.keepAlive;
    this.#phase = "body";
    this.#left = head.length;
    this.follower = head.length < 0 ? new ChunkFollower() : undefined;
    this.#exchange?.onHead(head);
    const rest = bytes.subarray(end + 4);
    if (rest.length > 0 || head.length === 0) this.#bodyBytes(rest);
  }

  #bodyBytes(piece: Buffer): void {
    const { follower } = this;
    const mine = follower ? follower.follow(piece) : Math.min(piece.length, this.#left);
    if (!follower) this.#left -= mine;
    const ended = follower ? follower.done : this.#left === 0;
    const surplus = mine < piece.length;
    if (mine > 0) this.#exchange?.onData(surplus ? piece.subarray(0, mine) : piece);
    if (ended) this.#ended(surplus);
  }

  #ended(surplus: boolean): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    if (this.#phase === "dead") return;
    this.#phase = "idle";
    if (surplus || !this.#keepAlive) this.abort();
    else this.#release(this);
    exchange?.onEnd();
  }
}

function tcp(target: Target): Socket {
  return connectTcp({ host: target.host, port: target.port, keepAlive: true });
}
