/** What an engine measured, beside what is planned, for people. */
import type { Fit } from "../engines/engine.ts";
import type { EngineMeasured } from "../providers/driver.ts";

/** "" where nothing was measured. */
export function measuredWords(fit: Fit, measured: EngineMeasured): string {
  const planned = fit.lines.find((line) => line.item.startsWith("Weights"))?.bytes ?? 0;
  const { weightsBytes, kvBytes, kvTokens } = measured;
  const parts = [
    weightsBytes === undefined ? "" : `weights ${gib(weightsBytes)}${errorOf(planned, weightsBytes)}`,
    kvBytes === undefined ? "" : `${gib(kvBytes)} for the KV cache`,
    kvTokens === undefined ? "" : `room for ${kvTokens} tokens in it`,
  ].filter((part) => part !== "");
  return parts.length === 0 ? "" : `At the last start here the engine measured: ${parts.join(", ")}.`;
}

/** By how much the plan missed. Below 1 MiB the engine's own rounding is larger. */
function errorOf(planned: number, measured: number): string {
  if (planned === 0 || measured < 2 ** 20) return "";
  const percent = (100 * (planned - measured)) / measured;
  return ` (the plan's ${gib(planned)} is ${percent >= 0 ? "+" : ""}${percent.toFixed(1)} %)`;
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
