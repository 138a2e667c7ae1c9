/** The lines of the user's statement that paid for the main job. */
import type { People } from "./people.ts";
import type { Terminal } from "./terminal.ts";
import { at, type Json, list, money, text, type Wire } from "./wire.ts";

/** What was charged so far and what is held for the window that runs. */
export async function printHolds(
  terminal: Terminal,
  wire: Wire,
  who: People,
  _modelId: string,
): Promise<void> {
  terminal.line();
  terminal.line("Ledger");
  for (const line of await statement(wire, who)) terminal.line(lineOf(line));
  const balance = await wire({ method: "GET", path: "/v1/billing/balance", token: who.userToken });
  terminal.line(
    `  balance ${money(at(balance, "balance"))}, of which held for the running window and for requests ${money(at(balance, "held"))}`,
  );
}

/** The captured time of a model that stopped, and the balance after it. */
export async function printCaptures(
  terminal: Terminal,
  wire: Wire,
  who: People,
  modelId: string,
): Promise<void> {
  const lines = await statement(wire, who);
  const captured = lines.find(
    (line) =>
      text(at(line, "type")) === "TRANSACTION_TYPE_GPU_USAGE" && text(at(line, "modelId")) === modelId,
  );
  if (captured !== undefined) terminal.line(lineOf(captured));
  const balance = await wire({ method: "GET", path: "/v1/billing/balance", token: who.userToken });
  terminal.line(`  balance ${money(at(balance, "balance"))}, held ${money(at(balance, "held"))}`);
}

async function statement(wire: Wire, who: People): Promise<readonly Json[]> {
  const path = "/v1/billing/transactions?pageSize=10";
  return list(at(await wire({ method: "GET", path, token: who.userToken }), "transactions"));
}

function lineOf(line: Json): string {
  const code =
    text(at(line, "code")) || text(at(line, "type")).replace("TRANSACTION_TYPE_", "").toLowerCase();
  return `  ${text(at(line, "createdAt")).slice(0, 19)}Z  ${code.padEnd(14)} ${money(at(line, "amount")).padStart(18)}  ${text(at(line, "description"))}`;
}
