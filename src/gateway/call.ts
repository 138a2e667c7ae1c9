/** One inference request from its body to its usage record: who, may they, is there money, where to, and what it came to. */
import type { ServerResponse } from "node:http";
import { StatusError } from "../base/status.ts";
import { type Access, access } from "./access.ts";
import { after } from "./after.ts";
import { boundedBy } from "./bounded.ts";
import { type ClientRequest, readRequest, SURFACES, type Surface } from "./client-request.ts";
import { engineBody } from "./engine-body.ts";
import type { GatewayLimits } from "./limits.ts";
import { type Budgeted, chargeNanos, isPriced, reserve } from "./money.ts";
import { refused } from "./openai-error.ts";
import { paceKey } from "./pace.ts";
import type { Parts } from "./parts.ts";
import type { GatewayUsage } from "./ports.ts";
import { type Prompt, promptOf } from "./prefix.ts";
import { answerError, type Ending, Relay, type RelayOwner, unreachable, type Verdict } from "./relay.ts";
import type { Chosen } from "./replicas.ts";
import type { Written } from "./usage-log/usage-log.ts";

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

/** Answers one request; every failure becomes an answer, nothing is thrown. */
export function serveCall(parts: Parts, incoming: Incoming): void {
  const fail = (thrown: unknown) => answerFailure(parts, incoming, thrown);
  parts.entering++;
  try {
    const request = readRequest(incoming.surface, incoming.body);
    const asked = access(parts.deps, parts.directory, incoming, request.model);
    const entered = after(asked, (who) => enter(parts, incoming, request, who));
    if (entered instanceof Promise) entered.catch(fail).finally(() => void parts.entering--);
    else parts.entering--;
  } catch (thrown) {
    parts.entering--;
    fail(thrown);
  }
}

function answerFailure(parts: Parts, incoming: Incoming, thrown: unknown): void {
  const error = StatusError.from(thrown);
  if (error.cause !== undefined)
    parts.deps.log.error({ err: error.cause, requestId: incoming.requestId }, "a request failed on our side");
  parts.metrics.refused(error.reason);
  answerError(incoming.response, error, incoming.requestId);
}

/** Lets the request in: at once, or when its turn comes and its money is set aside. */
function enter(parts: Parts, incoming: Incoming, request: ClientRequest, who: Access): void | Promise<void> {
  const pace = paceKey(parts.deps, who.limitKey);
  checkReady(who);
  checkBacklog(parts);
  const deadlineAt = parts.deps.clock.monotonicMs() + parts.deps.limits.totalMs;
  return after(parts.admission.enter(who, incoming.response), (leave) => {
    try {
      const reserved = setAside(parts, request, who, deadlineAt);
      const go = (money: Budgeted | undefined) =>
        begin(parts, incoming, request, who, { money, deadlineAt, leave, pace });
      if (!(reserved instanceof Promise)) return go(reserved);
      return reserved.then(go).catch((error: unknown) => {
        leave();
        throw error;
      });
    } catch (error) {
      leave();
      throw error;
    }
  });
}

/** A model that has no replica says why, and whether waiting helps. */
export function checkReady({ route }: Pick<Access, "route">): void {
  if (route.replicas.length > 0) return;
  const metadata = { status: route.status, reason: route.reason };
  const message = `The model is not serving: ${route.message}`;
  if (route.retryAfterMs === 0) throw refused("MODEL_STATE", message, { metadata });
  throw refused("MODEL_NOT_READY", message, { metadata, retryAfterMs: route.retryAfterMs });
}

/** Usage that can't be delivered grows on the disk and in memory: at some point nothing more is taken on. */
function checkBacklog(parts: Parts): void {
  if (parts.usageLog.unshippedCount < parts.deps.limits.unshippedMax) return;
  throw refused("UNAVAILABLE", "Usage can't be booked at the moment. Try again shortly.", {
    retryAfterMs: 5_000,
  });
}

/** Money for a request of a priced model; nothing where there is no price. */
function setAside(
  parts: Parts,
  request: ClientRequest,
  who: Access,
  deadlineAt: number,
): undefined | Promise<Budgeted> {
  const { published, contextTokens } = who.route;
  if (!published || !SURFACES[request.surface].billed || !isPriced(published.price)) return undefined;
  const payer = { userId: who.userId, bounded: boundedBy(who, published) };
  return reserve(parts.purse, payer, request, published, contextTokens, deadlineAt);
}

/** What an admitted request runs under. */
interface Terms {
  readonly money: Budgeted | undefined;
  readonly deadlineAt: number;
  readonly leave: () => void;
  /** Headers that tell how its key stands. */
  readonly pace: Readonly<Record<string, string>>;
}

function begin(parts: Parts, incoming: Incoming, request: ClientRequest, who: Access, terms: Terms): void {
  const { money } = terms;
  if (incoming.response.destroyed) {
    // The client hung up while it waited: nothing was sent, nothing is told.
    money?.reservation.settle(0n, false);
    throw refused("CANCELLED", "The client went away.");
  }
  const call = new Call(parts, incoming, request, who, terms);
  parts.metrics.admitted();
  call.tryNext();
}

/** An admitted request: it ends with exactly one usage record. */
class Call implements RelayOwner {
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly wantsUsage: boolean;
  readonly ownWords: boolean;
  readonly limits: GatewayLimits;
  readonly deadlineAt: number;
  readonly #parts: Parts;
  readonly #request: ClientRequest;
  readonly #who: Access;
  readonly #money: Budgeted | undefined;
  readonly #leave: () => void;
  readonly #startedAt: Date;
  readonly #prompt: Prompt;
  readonly #body: Buffer;
  readonly #tried: string[] = [];
  #chosen: Chosen | undefined;
  #relay: Relay | undefined;

  constructor(
    parts: Parts,
    incoming: Incoming,
    request: ClientRequest,
    who: Access,
    { money, deadlineAt, leave, pace }: Terms,
  ) {
    const { generates, ownWords } = SURFACES[request.surface];
    const salt = who.route.published ? parts.salts.of(who.userId) : undefined;
    this.response = incoming.response;
    this.requestId = incoming.requestId;
    this.headers = headersOf(incoming.requestId, money?.outputTokensMax, pace);
    this.wantsUsage = request.wantsUsage;
    this.ownWords = ownWords;
    this.limits = parts.deps.limits;
    this.deadlineAt = money?.reservation.deadlineAt ?? deadlineAt;
    this.#parts = parts;
    this.#request = request;
    this.#who = who;
    this.#money = money;
    this.#leave = leave;
    this.#startedAt = parts.deps.clock.now();
    this.#prompt =
      generates && who.route.replicas.length > 1
        ? promptOf(request.surface, request.bytes, salt ?? "")
        : { hashes: [], bytes: request.bytes.length };
    this.#body = engineBody(request, {
      servedName: who.route.servedName,
      shared: who.route.published !== undefined,
      cacheSalt: generates ? salt : undefined,
      outputTokensMax: money?.outputTokensMax,
    });
    this.response.once("close", () => this.#relay?.clientGone());
  }

  now(): number {
    return this.#parts.deps.clock.monotonicMs();
  }

  /** Sends to the best replica that was not tried yet. */
  tryNext(): void {
    const chosen = this.#parts.replicas.choose(this.#who.route, this.#prompt, this.#tried);
    this.#chosen = chosen;
    if (chosen) this.#send(chosen);
    else this.#unreachable();
  }

  #send(chosen: Chosen): void {
    const { replica } = chosen;
    this.#tried.push(replica.replicaId);
    this.#parts.replicas.began(chosen);
    const relay = new Relay(this);
    this.#relay = relay;
    this.#parts.relays.add(relay);
    relay.start(chosen.known.pool, this.#head(chosen), this.#body);
  }

  retry(): boolean {
    const more = this.#tried.length < this.#who.route.replicas.length;
    if (more) queueMicrotask(() => this.tryNext());
    return more;
  }

  over(relay: Relay, verdict: Verdict, error?: Error): void {
    this.#parts.relays.delete(relay);
    if (this.#chosen) this.#parts.replicas.ended(this.#chosen, verdict, error);
  }

  /** Where the engine told no usage of an answer that cost something, the books take an estimate, and say so. */
  ended(relay: Relay, ending: Ending): void {
    if (this.#isCounted(ending)) this.#finish(ending, false, relay);
    else void this.#estimate(ending).then((estimated) => this.#finish(estimated, true, relay));
  }

  #isCounted({ usage, outcome, events, reached }: Ending): boolean {
    return (
      usage !== undefined ||
      !reached ||
      outcome === "rejected" ||
      !SURFACES[this.#request.surface].generates ||
      (events === 0 && outcome !== "client_gone")
    );
  }

  #head({ replica }: Chosen): string {
    return (
      `POST ${SURFACES[this.#request.surface].path} HTTP/1.1\r\nhost: ${replica.host}:${replica.port}\r\n` +
      `authorization: Bearer ${replica.engineKey}\r\ncontent-type: application/json\r\n` +
      `x-request-id: ${this.requestId}\r\ncontent-length: ${this.#body.length}\r\n\r\n`
    );
  }

  #unreachable(): void {
    const ending: Ending = {
      outcome: "upstream_error",
      usage: undefined,
      events: 0,
      reached: false,
      ttftMs: null,
    };
    this.#finish(ending, false, { written: () => answerError(this.response, unreachable(), this.requestId) });
  }

  async #estimate(ending: Ending): Promise<Ending> {
    const promptTokens = this.#chosen
      ? await this.#parts.countPrompt(this.#chosen.replica, this.#request, this.#who.route.servedName)
      : 0;
    // A chat's first event names the role and has no word.
    const completionTokens = Math.max(0, ending.events - (this.#request.surface === "chat" ? 1 : 0));
    const usage = {
      promptTokens,
      cachedTokens: undefined,
      completionTokens,
      reasoningTokens: undefined,
      totalTokens: promptTokens + completionTokens,
    };
    return { ...ending, usage };
  }

  #finish(ending: Ending, estimated: boolean, waiter: Written): void {
    const { usageLog, metrics, relays } = this.#parts;
    const usage = this.#record(ending, estimated);
    const price = this.#who.route.published?.price;
    const charge = this.#money && price ? chargeNanos(usage, price) : 0n;
    this.#money?.reservation.settle(charge, true);
    this.#leave();
    metrics.finished(usage);
    usageLog.append(usage, relays.size - 1, this.#money ? unlogging(this.#money, waiter) : waiter);
  }

  #record(ending: Ending, estimated: boolean): GatewayUsage {
    const { deps } = this.#parts;
    const { route, userId, keyId } = this.#who;
    const usage = SURFACES[this.#request.surface].billed ? ending.usage : undefined;
    return {
      requestId: this.requestId,
      gatewayId: deps.gatewayId,
      modelId: route.modelId,
      servedName: route.published?.servedName ?? route.servedName,
      userId,
      keyId,
      sliceId: this.#money?.reservation.sliceId ?? null,
      priceVersionId: this.#money === undefined ? null : (route.published?.price.versionId ?? null),
      promptTokens: usage?.promptTokens ?? 0,
      // What an engine does not tell as cached can't be given for free.
      cachedTokens: usage?.cachedTokens ?? 0,
      completionTokens: usage?.completionTokens ?? 0,
      estimated,
      outcome: ending.outcome,
      startedAt: this.#startedAt,
      endedAt: deps.clock.now(),
      ttftMs: ending.ttftMs,
    };
  }
}

/** What could not be written down costs nothing. */
function unlogging({ reservation }: Budgeted, waiter: Written): Written {
  return {
    written(error) {
      if (error) reservation.unlogged();
      waiter.written(error);
    },
  };
}

function headersOf(
  requestId: string,
  outputTokensMax: number | undefined,
  pace: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return outputTokensMax === undefined
    ? { "slipway-request-id": requestId, ...pace }
    : { "slipway-request-id": requestId, "slipway-max-tokens": String(outputTokensMax), ...pace };
}
