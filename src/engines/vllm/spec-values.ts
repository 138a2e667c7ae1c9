/** Validated modelSpec values by type; a key that is absent is undefined. */
import type { SpecValues } from "../engine.ts";

export function numberOf(spec: SpecValues, key: string): number | undefined {
  const value = spec[key];
  return typeof value === "number" ? value : undefined;
}

export function flagOf(spec: SpecValues, key: string): boolean | undefined {
  const value = spec[key];
  return typeof value === "boolean" ? value : undefined;
}

/** "auto" is the same as absent. */
export function textOf(spec: SpecValues, key: string): string | undefined {
  const value = spec[key];
  return typeof value === "string" && value !== "auto" ? value : undefined;
}

export function textsOf(spec: SpecValues, key: string): readonly string[] {
  const value = spec[key];
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
