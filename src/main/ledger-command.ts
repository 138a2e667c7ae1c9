/** `slipway ledger check`: whether the books are in order, in one screen. */
import { StatusError } from "../base/status.ts";
import { type BookCheck, CHECKS, type CheckName, checkBooks, sealTransfers } from "../billing/index.ts";
import type { Installation } from "./installation.ts";

const HEAD = /^\d+:[0-9a-f]{64}$/;

/** Seals what is committed, then checks. Throws CONFIG_INVALID for an `expected` that is no seal. */
export async function checkNow({ ctx }: Installation, expected: string | undefined): Promise<BookCheck> {
  if (expected !== undefined && !HEAD.test(expected)) {
    throw new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "CONFIG_INVALID",
      message: "--expect takes a seal as an earlier check printed it: <number>:<64 hex digits>.",
    });
  }
  await sealTransfers(ctx);
  return checkBooks(ctx, { now: ctx.clock.now(), ...(expected === undefined ? {} : { expected }) });
}

export function checkText(check: BookCheck): string {
  const { transfers, sealedTransfers, head, findings, startedAt, finishedAt } = check;
  const seconds = ((finishedAt.getTime() - startedAt.getTime()) / 1_000).toFixed(1);
  const lines = [
    `${finishedAt.toISOString()}  ${transfers} transfers, ${sealedTransfers} of them sealed, checked in ${seconds} s`,
    ...(Object.keys(CHECKS) as CheckName[]).flatMap((name) => linesOf(name, check)),
    `newest seal  ${head === "" ? "none yet" : head}`,
    findings.length === 0 ? "the books are in order" : "the books are NOT in order",
  ];
  return `${lines.join("\n")}\n`;
}

function linesOf(name: CheckName, { findings }: BookCheck): readonly string[] {
  const found = findings.filter(({ check }) => check === name);
  if (found.length === 0) return [`ok       ${name.padEnd(11)} ${CHECKS[name]}`];
  return found.map(({ what, count, examples }) => {
    const more = count > examples.length ? ", …" : "";
    return `PROBLEM  ${name.padEnd(11)} ${count} ${what}: ${examples.join(", ")}${more}`;
  });
}

export function checkJson(check: BookCheck): string {
  const text = JSON.stringify(check, (_, value) => (typeof value === "bigint" ? value.toString() : value), 2);
  return `${text}\n`;
}
