/** `slipway ledger prove`: histories of crashes, losses and repeats, played with this program's own code on a database of their own. */
import { randomInt } from "node:crypto";
import type { BaseCtx } from "../base/ctx.ts";
import { formatAmount } from "../base/money.ts";
import { layGround, type Proof, prove, REFUSED_AFTER_LOSS_MAX_MS, REFUSED_MAX_MS } from "../proof/index.ts";
import { scratchDatabase } from "./scratch-database.ts";

export interface ProveInput {
  readonly histories: number;
  /** None: drawn, and told. */
  readonly seed: number | undefined;
  /** No history is begun after so many seconds. */
  readonly seconds: number;
  readonly stop: AbortSignal;
}

/** Seeds that are drawn are short enough to be typed again. */
const SEED_MAX = 1_000_000;

export interface Proven {
  readonly seed: number;
  readonly proof: Proof;
  readonly seconds: number;
}

export async function proveNow(base: BaseCtx, input: ProveInput): Promise<Proven> {
  const seed = input.seed ?? randomInt(SEED_MAX);
  const scratch = await scratchDatabase(base);
  const began = base.clock.monotonicMs();
  const passed = () => (base.clock.monotonicMs() - began) / 1_000;
  try {
    const ground = await layGround(base, scratch.db);
    const { histories } = input;
    const isOver = () => input.stop.aborted || passed() >= input.seconds;
    const proof = await prove(ground, { firstSeed: seed, histories, isOver });
    return { seed, proof, seconds: passed() };
  } finally {
    await scratch.close();
  }
}

export function provenText({ seed, proof, seconds }: Proven): string {
  const { failed, overdraftMaxNanos, refusedMaxMs } = proof;
  const minutes = (ms: number) => `${(ms / 60_000).toFixed(1)} min`;
  const lines = [
    `${proof.histories} histories from seed ${seed} in ${seconds.toFixed(0)} s: ${proof.faults} faults injected, ${proof.served} requests served, ` +
      `${proof.refused} refused, ${proof.windows} GPU windows`,
    `longest refusal while money was free  ${minutes(refusedMaxMs.alive)} with all gateways alive (at most ${minutes(REFUSED_MAX_MS)}), ` +
      `${minutes(refusedMaxMs.lost)} after a loss (at most ${minutes(REFUSED_AFTER_LOSS_MAX_MS)})`,
    `max overdraft = ${overdraftMaxNanos === 0n ? "0" : formatAmount(overdraftMaxNanos)}`,
    ...(failed === undefined ? [] : ["", ...failed.story, "", failedLine(failed)]),
  ];
  return `${lines.join("\n")}\n`;
}

function failedLine(failed: NonNullable<Proof["failed"]>): string {
  if (failed.seed === undefined) return `A PROMISE IS BROKEN: ${failed.what}`;
  return `A PROMISE IS BROKEN by seed ${failed.seed} (above, its last lines): ${failed.what}
again: slipway ledger prove --seed ${failed.seed} --histories 1`;
}

export function provenJson(proven: Proven): string {
  return `${JSON.stringify(proven, (_, value) => (typeof value === "bigint" ? value.toString() : value), 2)}\n`;
}
