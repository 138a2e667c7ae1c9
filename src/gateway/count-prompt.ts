/** Tokens of a prompt where the engine itself did not tell: by the replica's tokenizer, or by the prompt's length. */
import type { ClientRequest } from "./client-request.ts";
import type { GatewayDeps, RouteReplica } from "./ports.ts";
import type { Replicas } from "./replicas.ts";
import type { AnswerHead } from "./upstream/answer-head.ts";
import type { Exchange } from "./upstream/connection.ts";

/** The tokenizer answers at once or the replica is gone. */
const ANSWER_MS = 2_000;
/** A prompt's tokens as numbers and texts, at most a context of them. */
const ANSWER_MAX_BYTES = 16 * 2 ** 20;
/** Bytes of a token in ordinary text, where nobody can count. */
const BYTES_PER_TOKEN = 4;

/** Counts prompts; never fails. */
export function promptCounter(deps: GatewayDeps, replicas: Replicas) {
  return async (replica: RouteReplica, request: ClientRequest, servedName: string): Promise<number> => {
    const { messages, prompt, input } = request.json;
    const asked = messages === undefined ? { prompt: textOf(prompt ?? input) } : { messages };
    const body = Buffer.from(JSON.stringify({ model: servedName, ...asked }));
    const answer = await askReplica(deps, replicas, replica, body);
    return answer ?? Math.ceil(request.bytes.length / BYTES_PER_TOKEN);
  };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? "");
}

/** The count, or undefined when it can't be had. */
async function askReplica(
  deps: GatewayDeps,
  replicas: Replicas,
  replica: RouteReplica,
  body: Buffer,
): Promise<number | undefined> {
  const head =
    `POST /tokenize HTTP/1.1\r\nhost: ${replica.host}:${replica.port}\r\nauthorization: Bearer ${replica.engineKey}\r\n` +
    `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  const answered = new AbortController();
  const late = deps.clock.sleep(ANSWER_MS, answered.signal).catch(() => {});
  try {
    const answer = new Answer();
    const sent = replicas.pool(replica).send(head, body, answer);
    await Promise.race([answer.text, late]);
    sent.abort(); // nothing when it is over
    return countOf(answer.got());
  } catch {
    return undefined;
  } finally {
    answered.abort();
  }
}

class Answer implements Exchange {
  readonly text: Promise<void>;
  readonly #pieces: Buffer[] = [];
  #bytes = 0;
  #plain = false;
  #over: () => void = () => {};

  constructor() {
    this.text = new Promise((resolve) => {
      this.#over = resolve;
    });
  }

  got(): string {
    return this.#plain ? Buffer.concat(this.#pieces).toString("utf8") : "";
  }

  onHead(head: AnswerHead): void {
    this.#plain = head.status === 200 && head.length >= 0 && head.length <= ANSWER_MAX_BYTES;
  }

  onData(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes <= ANSWER_MAX_BYTES) this.#pieces.push(Buffer.from(piece));
  }

  onEnd(): void {
    this.#over();
  }

  onFailure(): void {
    this.#plain = false;
    this.#over();
  }
}

function countOf(text: string): number | undefined {
  const answer: unknown = JSON.parse(text);
  if (typeof answer !== "object" || answer === null || !("count" in answer)) return undefined;
  return typeof answer.count === "number" ? answer.count : undefined;
}
