/** The client's side of an answer: its head goes out with its first bytes, and a slow client slows the replica down. */
import type { ServerResponse } from "node:http";
import { rawChunks } from "./raw-chunks.ts";
import type { AnswerHead } from "./upstream/answer-head.ts";

/** Up to this, an answer goes out as one string with its head: one write in place of two. latin1 keeps every byte. */
const ONE_WRITE_MAX_BYTES = 16_384;

/** What can be held back while the client is slow. */
export interface Source {
  pause(): void;
  resume(): void;
}

export class Outlet {
  readonly #response: ServerResponse;
  readonly #headers: Readonly<Record<string, string>>;
  #source: Source | undefined;
  /** The client is not there any more: what is written goes nowhere. */
  gone = false;
  /** The client does not keep up, and the replica is held back for it. */
  isFull = false;

  constructor(response: ServerResponse, headers: Readonly<Record<string, string>>) {
    this.#response = response;
    this.#headers = headers;
  }

  /** Who is slowed down when the client is slow. */
  set source(source: Source) {
    this.#source = source;
  }

  get begun(): boolean {
    return this.#response.headersSent;
  }

  get rawPossible(): boolean {
    return rawChunks.possible(this.#response);
  }

  /** Of an answer whose length is known. */
  head(head: AnswerHead, length: number): void {
    if (this.gone || this.begun) return;
    const headers = this.#headersOf(head);
    headers["content-length"] = length;
    this.#response.writeHead(head.status, headers);
  }

  /** Of a stream: in the replica's own chunks, or in ours. */
  streamHead(head: AnswerHead, raw: boolean): void {
    if (this.gone || this.begun) return;
    const headers = this.#headersOf(head);
    headers["cache-control"] = "no-cache";
    if (raw) rawChunks.writeHead(this.#response, head.status, headers);
    else this.#response.writeHead(head.status, headers);
  }

  write(bytes: Buffer): void {
    if (this.gone || this.#response.write(bytes)) return;
    this.isFull = true;
    this.#source?.pause();
    this.#response.once("drain", () => {
      this.isFull = false;
      this.#source?.resume();
    });
  }

  end(bytes: Buffer | undefined): void {
    if (this.gone) return;
    if (bytes === undefined) this.#response.end();
    else if (bytes.length > ONE_WRITE_MAX_BYTES) this.#response.end(bytes);
    else this.#response.end(bytes.toString("latin1"), "latin1");
  }

  /** A last chunk of ours after chunks of the replica's, between two of them. */
  endRaw(text: string): void {
    if (!this.gone) rawChunks.end(this.#response, text);
  }

  destroy(): void {
    this.#response.destroy();
  }

  #headersOf(head: AnswerHead): Record<string, string | number> {
    const headers: Record<string, string | number> = {
      "content-type": head.contentType || "application/json",
      ...this.#headers,
    };
    if (head.retryAfter !== "") headers["retry-after"] = head.retryAfter;
    return headers;
  }
}
