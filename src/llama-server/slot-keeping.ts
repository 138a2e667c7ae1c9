/** When sequences are kept on disk and taken from there: before they are used for something else, while idle, and at the end. */
import type { Token } from "node-llama-cpp";

/** Where states are kept; see kept-states.ts. */
export interface Keeper<S> {
  restore(sequence: S, prompt: readonly Token[], salt: string, held: number): Promise<boolean>;
  keep(sequence: S, salt: string): Promise<void>;
}

/** What keeping looks at. */
export interface KeepableSlot<S> {
  readonly sequence: S & { readonly nextTokenIndex: number };
  salt: string;
  /** Holds what is not on disk. */
  dirty: boolean;
  busy: boolean;
  /** Busy with being kept, not with a request. */
  keeping: boolean;
}

/** A pause of requests after which sequences are kept: conversations that go on need not be written at every turn. */
export const IDLE_MS = 1_000;

/**
 * Before a slot of which `held` tokens suit the prompt goes on: what would be lost is kept, and what is kept of this prompt is
 * brought back. True when it was; the slot then holds a state of `salt`.
 */
export async function turnOver<S>(
  keeper: Keeper<S>,
  slot: KeepableSlot<S>,
  request: { readonly prompt: readonly Token[]; readonly salt: string; readonly held: number },
): Promise<boolean> {
  // An answer that another one replaces is no loss; a conversation that makes room for another one is.
  if (slot.dirty && request.held * 2 < slot.sequence.nextTokenIndex) {
    await keeper.keep(slot.sequence, slot.salt);
  }
  slot.dirty = true;
  if (!(await keeper.restore(slot.sequence, request.prompt, request.salt, request.held))) return false;
  slot.salt = request.salt;
  return true;
}

/** Keeps what free slots hold, one after the other, as long as `mayGoOn`; gives each back through `free`. */
export async function keepFree<S>(
  keeper: Keeper<S>,
  slots: readonly KeepableSlot<S>[],
  free: (slot: KeepableSlot<S>) => void,
  mayGoOn: () => boolean,
): Promise<void> {
  for (const slot of slots) {
    if (!mayGoOn()) return;
    if (slot.busy || !slot.dirty) continue;
    slot.busy = true;
    slot.keeping = true;
    try {
      await keeper.keep(slot.sequence, slot.salt);
      slot.dirty = false;
    } finally {
      slot.keeping = false;
      free(slot);
    }
  }
}
