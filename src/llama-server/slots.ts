/**
 * Who may use which sequence of the context. A sequence keeps what it evaluated last; a request gets the free one that shares
 * the longest beginning with its prompt, among those that its cache salt filled. Requests wait in line, bounded, for a free one.
 */
import type { Token } from "node-llama-cpp";
import { StatusError } from "../base/status.ts";
import { IDLE_MS, type KeepableSlot, type Keeper, keepFree, turnOver } from "./slot-keeping.ts";

/** What a slot needs of a node-llama-cpp sequence. */
export interface SlotSequence {
  /** Number of tokens whose evaluation it holds. */
  readonly nextTokenIndex: number;
  compareContextTokens(tokens: Token[]): { readonly firstDifferentIndex: number };
  /** Forgets everything after the common beginning (and more where the model's memory can't be cut there). */
  adaptStateToTokens(tokens: Token[], allowShift?: boolean): Promise<void>;
}

/** Exclusive use of one sequence. */
export interface Lease<S extends SlotSequence> {
  readonly sequence: S;
  /**
   * Makes the sequence hold nothing but a beginning of the prompt; gives the number of prompt tokens that need no evaluation.
   * Always less than the whole prompt, since the last token must be evaluated to continue from it.
   */
  prepare(prompt: readonly Token[]): Promise<number>;
  release(): void;
}

export interface Slots<S extends SlotSequence> {
  /** Waits in line. Throws RATE_LIMITED when the line is full, or the signal's reason when it aborts. */
  acquire(prompt: readonly Token[], salt: string, signal: AbortSignal): Promise<Lease<S>>;
  readonly running: number;
  readonly waiting: number;
  /** Share of the cells that running requests hold, 0 to 1. */
  usage(): number;
  /** Keeps what free sequences hold, where there is a keeper. For the end of the process. */
  keepAll(): Promise<void>;
}

export interface SlotsOptions<S extends SlotSequence = SlotSequence> {
  readonly contextTokens: number;
  /** Requests that may wait; the next one is refused. */
  readonly waitingMax: number;
  /** False: every prompt is evaluated whole. */
  readonly prefixCache: boolean;
  /** Where evaluated beginnings outlive the process; needs prefixCache. */
  readonly keeper?: Keeper<S> | undefined;
}

/**
 * A shorter common beginning (a chat template's first words) is not worth losing what the sequence holds: then an empty or the
 * longest unused sequence is taken instead.
 */
const MATCH_WORTH_TOKENS = 16;

interface Slot<S extends SlotSequence> extends KeepableSlot<S> {
  usedAt: number;
}

interface Waiter<S extends SlotSequence> {
  readonly prompt: readonly Token[];
  readonly salt: string;
  admit(slot: Slot<S>): void;
}

export function createSlots<S extends SlotSequence>(
  sequences: readonly S[],
  options: SlotsOptions<S>,
): Slots<S> {
  const slots = sequences.map(
    (sequence): Slot<S> => ({ sequence, salt: "", dirty: false, busy: false, keeping: false, usedAt: 0 }),
  );
  const waiters: Waiter<S>[] = [];
  const keeper = options.prefixCache ? options.keeper : undefined;
  let ticks = 0;
  let idle: NodeJS.Timeout | undefined;
  let keeping: Promise<void> = Promise.resolve();

  const isRunning = (slot: Slot<S>) => slot.busy && !slot.keeping;
  const giveBack = (slot: KeepableSlot<S>): void => {
    slot.busy = false;
    const next = waiters.shift();
    if (next) next.admit(take(chooseSlot(slots, next, options)));
  };
  const free = (slot: Slot<S>): void => {
    slot.usedAt = ++ticks;
    giveBack(slot);
    if (!keeper || slots.some(isRunning)) return;
    idle = setTimeout(() => void keepWhile(() => !slots.some(isRunning)), IDLE_MS).unref();
  };
  // One pass after the other: the last one must see whatever an earlier one was still writing.
  const keepWhile = (mayGoOn: () => boolean): Promise<void> => {
    if (keeper) keeping = keeping.then(() => keepFree(keeper, slots, giveBack, mayGoOn));
    return keeping;
  };

  return {
    async acquire(prompt, salt, signal) {
      signal.throwIfAborted();
      clearTimeout(idle);
      const slot = chooseSlot(slots, { prompt, salt }, options);
      if (slot) return lease(take(slot), salt, options, free);
      if (waiters.length >= options.waitingMax) throw lineFull(options.waitingMax);
      return lease(await standInLine(waiters, { prompt, salt }, signal), salt, options, free);
    },
    get running() {
      return slots.filter(isRunning).length;
    },
    get waiting() {
      return waiters.length;
    },
    usage() {
      const held = slots.map((slot) => (isRunning(slot) ? slot.sequence.nextTokenIndex : 0));
      return held.reduce((sum, tokens) => sum + tokens, 0) / (options.contextTokens * slots.length);
    },
    keepAll() {
      clearTimeout(idle);
      return keepWhile(() => true);
    },
  };
}

function take<S extends SlotSequence>(slot: Slot<S> | undefined): Slot<S> {
  if (!slot || slot.busy) throw new Error("no sequence is free");
  slot.busy = true;
  return slot;
}

function standInLine<S extends SlotSequence>(
  waiters: Waiter<S>[],
  request: { prompt: readonly Token[]; salt: string },
  signal: AbortSignal,
): Promise<Slot<S>> {
  return new Promise((resolve, reject) => {
    const leave = () => {
      waiters.splice(waiters.indexOf(waiter), 1);
      reject(signal.reason);
    };
    const waiter: Waiter<S> = {
      ...request,
      admit(slot) {
        signal.removeEventListener("abort", leave);
        resolve(slot);
      },
    };
    waiters.push(waiter);
    signal.addEventListener("abort", leave, { once: true });
  });
}

function lease<S extends SlotSequence>(
  slot: Slot<S>,
  salt: string,
  options: SlotsOptions<S>,
  free: (slot: Slot<S>) => void,
): Lease<S> {
  let released = false;
  return {
    sequence: slot.sequence,
    async prepare(prompt) {
      const wanted = options.prefixCache ? prompt.slice(0, -1) : [];
      let reusable = slot.salt === salt ? wanted : [];
      if (options.keeper && wanted.length > 0) {
        const held = slot.sequence.compareContextTokens([...reusable]).firstDifferentIndex;
        if (await turnOver(options.keeper, slot, { prompt: wanted, salt, held })) reusable = wanted;
      }
      slot.salt = salt;
      await slot.sequence.adaptStateToTokens([...reusable], false);
      return slot.sequence.nextTokenIndex;
    },
    release() {
      if (released) return;
      released = true;
      free(slot);
    },
  };
}

/** The free slot with the longest reusable beginning; where none is worth it, an empty one, then the longest unused one. */
function chooseSlot<S extends SlotSequence>(
  slots: readonly Slot<S>[],
  request: { readonly prompt: readonly Token[]; readonly salt: string },
  options: SlotsOptions<S>,
): Slot<S> | undefined {
  const prompt = [...request.prompt];
  const matched = (slot: Slot<S>): number => {
    if (!options.prefixCache || slot.salt !== request.salt) return 0;
    const tokens = slot.sequence.compareContextTokens(prompt).firstDifferentIndex;
    return tokens >= MATCH_WORTH_TOKENS ? tokens : 0;
  };
  const candidates = slots
    .filter((slot) => !slot.busy)
    .map((slot) => ({ slot, tokens: matched(slot), empty: slot.sequence.nextTokenIndex === 0 }));
  candidates.sort(
    (a, b) => b.tokens - a.tokens || Number(b.empty) - Number(a.empty) || a.slot.usedAt - b.slot.usedAt,
  );
  return candidates[0]?.slot;
}

function lineFull(waitingMax: number): StatusError {
  return new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "RATE_LIMITED",
    message: `All sequences are busy and ${waitingMax} requests wait already. Try again shortly.`,
    retryAfterMs: 1_000,
  });
}
