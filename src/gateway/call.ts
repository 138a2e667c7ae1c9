/** One inference request from its body to its usage record: who, may they, is there money, where to, and what it came to. */

import { createHmac } from "node:crypto";
import type { ServerResponse } from "node:http";
import { StatusError } from "../base/status.ts";
import { type Access, access } from "./access.ts";
import { type Budgeted, chargeNanos, reserve } from "./money.ts";
import { refused } from "./openai-error.ts";
import type { Parts } from "./parts.ts";
import type { GatewayUsage } from "./ports.ts";
import type { Choice } from "./prefix.ts";
import {
  type ClientRequest,
  engineBody,
  promptHashes,
  readRequest,
  SURFACES,
  type Surface,
} from "./prepare.ts";
import { answerError, type Ending, Relay } from "./relay.ts";

export interface Incoming {
  readonly surface: Surface;
  /** From `/m/<modelId>/…`. */
  readonly modelId: string | undefined;
  readonly authorization: string | undefined;
  readonly xUserId: string | undefined;
  readonly body: Buffer;
  readonly response: ServerResponse;
  readonly requestId: string;
}

/** A caller whose client hung up while it waited: nothing was sent, nothing is told. */
const GONE = refused("UNAVAILABLE", "The client went away.");

/** Answers one request; every failure becomes an answer, nothing is thrown. */
export async function serveCall(parts: Parts, incoming: Incoming): Promise<void> {
  try {
    const request = readRequest(incoming.surface, incoming.body);
    const who = await access(parts.deps, parts.directory, { ...incoming, name: request.model });
    checkReady(who);
    const leave = await parts.admission.enter(who);
    try {
      await admitted(parts, incoming, request, who, leave);
    } catch (error) {
      leave();
      throw error;
    }
  } catch (thrown) {
    const error = StatusError.from(thrown);
    if (error.reason === "INTERNAL")
      parts.deps.log.error({ err: error.cause, requestId: incoming.requestId }, "gateway failed");
    parts.metrics.refused(error.reason);
    answerError(incoming.response, error, incoming.requestId);
  }
}

/** A model that has no replica says why, and whether waiting helps. */
function checkReady({ route }: Access): void {
  if (route.replicas.length > 0) return;
  const metadata = { status: route.status, reason: route.reason };
  const message = `The model is not serving: ${route.message}`;
  if (route.retryAfterMs === 0) throw refused("MODEL_STATE", message, { metadata });
  throw refused("MODEL_NOT_READY", message, { metadata, retryAfterMs: route.retryAfterMs });
}

async function admitted(
  parts: Parts,
  incoming: Incoming,
  request: ClientRequest,
  who: Access,
  leave: () => void,
): Promise<void> {
  if (incoming.response.destroyed) throw GONE;
  const offer = who.route.published;
  const priced = offer !== undefined && isPriced(offer.price);
  const money = priced
    ? await reserve(parts.purse, who.userId, request, offer, who.route.contextTokens)
    : undefined;
  if (incoming.response.destroyed) {
    money?.reservation.settle(0n, false);
    throw GONE;
  }
  new Call(parts, incoming, request, who, money, leave).tryNext();
}

function isPriced(price: {
  readonly inputNanosPerMillion: bigint;
  readonly outputNanosPerMillion: bigint;
  readonly cachedNanosPerMillion: bigint;
}): boolean {
  return (
    price.inputNanosPerMillion > 0n || price.outputNanosPerMillion > 0n || price.cachedNanosPerMillion > 0n
  );
}

/** An admitted request: it ends with exactly one usage record. */
class Call {
  readonly #parts: Parts;
  readonly #incoming: Incoming;
  readonly #request: ClientRequest;
  readonly #who: Access;
  readonly #money: Budgeted | undefined;
  readonly #leave: () => void;
  readonly #startedAt: Date;
  readonly #tried = new Set<string>();
  readonly #prompt: { readonly hashes: readonly number[]; readonly chars: number };
  readonly #body: Buffer;

  constructor(
    parts: Parts,
    incoming: Incoming,
    request: ClientRequest,
    who: Access,
    money: Budgeted | undefined,
    leave: () => void,
  ) {
    this.#parts = parts;
    this.#incoming = incoming;
    this.#request = request;
    this.#who = who;
    this.#money = money;
    this.#leave = leave;
    this.#startedAt = parts.deps.clock.now();
    const salt = who.route.published ? saltOf(parts, who) : undefined;
    const several = who.route.replicas.length > 1 && SURFACES[request.surface].generates;
    this.#prompt = several ? promptHashes(request, salt ?? "") : { hashes: [], chars: request.bytes.length };
    this.#body = engineBody(request, who, {
      servedName: who.route.servedName,
      cacheSalt: SURFACES[request.surface].generates ? salt : undefined,
      outputTokensMax: money?.outputTokensMax,
    });
    parts.metrics.admitted();
  }

  /** Sends to the best replica that was not tried yet. */
  tryNext(): void {
    const choice = this.#parts.replicas.choose(this.#who.route, this.#prompt, this.#tried);
    if (!choice) {
      const nobody: Ending = { outcome: "upstream_error", usage: undefined, events: 0, ttftMs: null };
      this.#finish(nobody, () => {
        const error = refused(
          "MODEL_NOT_READY",
          "No replica of this model can be reached at the moment. Try again.",
          {
            retryAfterMs: 1_000,
          },
        );
        answerError(this.#incoming.response, error, this.#incoming.requestId);
      });
      return;
    }
    this.#tried.add(choice.replica.replicaId);
    this.#parts.replicas.began(choice);
    const relay = this.#relay(choice);
    const { response } = this.#incoming;
    const onClose = () => relay.clientGone();
    response.once("close", onClose);
    this.#parts.relays.add(relay);
    relay.start();
  }

  #relay(choice: Choice): Relay {
    const { deps, replicas } = this.#parts;
    const relay: Relay = new Relay({
      pool: replicas.pool(choice.replica),
      head: this.#head(choice),
      body: this.#body,
      response: this.#incoming.response,
      requestId: this.#incoming.requestId,
      stream: this.#request.stream,
      wantsUsage: this.#request.wantsUsage,
      rawPossible: this.#request.surface !== "responses",
      extraHeaders:
        this.#money?.outputTokensMax === undefined
          ? {}
          : { "slipway-max-tokens": String(this.#money.outputTokensMax) },
      limits: deps.limits,
      now: () => deps.clock.monotonicMs(),
      ending: (ending, done) => this.#ending(choice, ending, done),
      retry: () => this.#retry(),
      finished: (well) => {
        this.#parts.relays.delete(relay);
        replicas.ended(choice, well);
      },
    });
    return relay;
  }

  #retry(): boolean {
    const more = this.#who.route.replicas.some((replica) => !this.#tried.has(replica.replicaId));
    if (more) queueMicrotask(() => this.tryNext());
    return more;
  }

  #head(choice: Choice): string {
    const { replica } = choice;
    return (
      `POST ${SURFACES[this.#request.surface].path} HTTP/1.1\r\nhost: ${replica.host}:${replica.port}\r\n` +
      `authorization: Bearer ${replica.engineKey}\r\ncontent-type: application/json\r\n` +
      `x-request-id: ${this.#incoming.requestId}\r\ncontent-length: ${this.#body.length}\r\n\r\n`
    );
  }

  /** Where the engine told no usage of an answer that cost something, the books take an estimate, and say so. */
  #ending(choice: Choice, ending: Ending, done: (error: Error | undefined) => void): void {
    const counts =
      ending.usage !== undefined ||
      ending.outcome === "rejected" ||
      !SURFACES[this.#request.surface].generates;
    if (counts || (ending.events === 0 && ending.outcome !== "client_gone")) this.#finish(ending, done);
    else void this.#estimate(choice, ending).then((estimated) => this.#finish(estimated, done, true));
  }

  async #estimate(choice: Choice, ending: Ending): Promise<Ending> {
    const promptTokens = await this.#parts.countPrompt(
      choice.replica,
      this.#request,
      this.#who.route.servedName,
    );
    const completionTokens = ending.events;
    return {
      ...ending,
      usage: {
        promptTokens,
        cachedTokens: undefined,
        completionTokens,
        reasoningTokens: undefined,
        totalTokens: promptTokens + completionTokens,
      },
    };
  }

  #finish(ending: Ending, done: (error: Error | undefined) => void, estimated = false): void {
    const { usageLog, metrics } = this.#parts;
    const usage = this.#record(ending, estimated);
    const price = this.#who.route.published?.price;
    this.#money?.reservation.settle(price ? chargeNanos(usage, price) : 0n, true);
    this.#leave();
    metrics.finished(usage);
    const alone = this.#parts.relays.size <= 1;
    usageLog.append(usage, alone, done);
  }

  #record(ending: Ending, estimated: boolean): GatewayUsage {
    const { deps } = this.#parts;
    const { route, userId, keyId } = this.#who;
    const told = ending.usage;
    return {
      requestId: this.#incoming.requestId,
      gatewayId: deps.gatewayId,
      modelId: route.modelId,
      servedName: route.published?.servedName ?? route.servedName,
      userId,
      keyId,
      sliceId: this.#money?.reservation.sliceId ?? null,
      priceVersionId: this.#money === undefined ? null : (route.published?.price.versionId ?? null),
      promptTokens: told?.promptTokens ?? 0,
      // Absent is not zero: but what an engine does not tell as cached can't be given for free.
      cachedTokens: told?.cachedTokens ?? 0,
      completionTokens: told?.completionTokens ?? 0,
      estimated,
      outcome: ending.outcome,
      startedAt: this.#startedAt,
      endedAt: deps.clock.now(),
      ttftMs: ending.ttftMs,
    };
  }
}

/** Tenants of one model never share a prefix: each account's cache has its own salt. */
function saltOf(parts: Parts, who: Access): string {
  return createHmac("sha256", parts.saltKey).update(who.userId).digest("base64url");
}
