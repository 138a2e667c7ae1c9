import type { GatewayDeps, RouteReplica } from "./ports.ts";
import type { ClientRequest } from "./prepare.ts";
import type { Replicas } from "./replicas.ts";

/** The tokenizer answers at once or the replica is gone. */
const ANSWER_MS = 2_000;
/** Bytes of a token in ordinary text, where nobody can count. */
const BYTES_PER_TOKEN = 4;

/** Counts a prompt by the replica's /tokenize; where that can't be had, by its length. Never fails. */
export function promptCounter(deps: GatewayDeps, replicas: Replicas) {
  return async (replica: RouteReplica, request: ClientRequest, servedName: string): Promise<number> => {
    const { messages, prompt, input } = request.json;
    const asked = messages === undefined ? { prompt: textOf(prompt ?? input) } : { messages };
    const body = Buffer.from(JSON.stringify({ model: servedName, ...asked }));
    const answer = await askReplica(deps, replicas, replica, body).catch(() => undefined);
    return answer ?? Math.ceil(request.bytes.length / BYTES_PER_TOKEN);
  };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? "");
}

function askReplica(
  deps: GatewayDeps,
  replicas: Replicas,
  replica: RouteReplica,
  body: Buffer,
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let plain = false;
    const head =
      `POST /tokenize HTTP/1.1\r\nhost: ${replica.host}:${replica.port}\r\nauthorization: Bearer ${replica.engineKey}\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
    const sent = replicas.pool(replica).send(head, body, {
      onHead: (answer) => {
        plain = answer.status === 200 && answer.length >= 0;
      },
      onData: (piece) => void pieces.push(Buffer.from(piece)),
      onEnd: () => resolve(plain ? countOf(Buffer.concat(pieces).toString("utf8")) : undefined),
      onFailure: reject,
    });
    void deps.clock.sleep(ANSWER_MS).then(() => {
      reject(new Error("the tokenizer did not answer"));
      if (pieces.length === 0) sent.abort();
    });
  });
}

function countOf(text: string): number | undefined {
  const answer: unknown = JSON.parse(text);
  if (typeof answer !== "object" || answer === null || !("count" in answer)) return undefined;
  return typeof answer.count === "number" ? answer.count : undefined;
}
