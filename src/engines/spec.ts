/** Validation of a deployment's modelSpec against the keys that its engine lists: unknown keys are refused by name. */
import type { FieldViolation } from "../base/status.ts";
import type { Engine, Hardware, SpecKey, SpecResult, Switches, WeightsFacts } from "./engine.ts";

type SpecValue = string | number | boolean | readonly string[];

/** Longest text of a value, and most texts of a list: both travel in a process's configuration or a command line. */
const TEXT_LENGTH_MAX = 1_024;
const LIST_LENGTH_MAX = 64;

/** Names further apart than this share of their length are no likely typing error of each other. */
const NEAR_SHARE = 0.4;

/**
 * Checks every entry and tells all violations at once. Fields are named `model_spec.<key>`. An entry that is null counts as
 * absent, so that a client can unset a key. `raw` is the JSON object of the request (undefined = empty).
 */
export function validateSpec(keys: readonly SpecKey[], raw: unknown): SpecResult {
  if (raw === undefined || raw === null) return { ok: true, values: {} };
  if (typeof raw !== "object" || Array.isArray(raw)) {
    return { ok: false, violations: [violation("model_spec", "must be an object", "SPEC_VALUE_INVALID")] };
  }
  const values: Record<string, SpecValue> = {};
  const violations: FieldViolation[] = [];
  for (const [name, value] of Object.entries(raw)) {
    if (value === null || value === undefined) continue;
    const key = keys.find((candidate) => candidate.name === name);
    const checked = key ? check(key, value) : undefined;
    if (!key) violations.push(unknownKey(name, keys));
    else if (checked === undefined) violations.push(invalidValue(key));
    else values[name] = checked;
  }
  return violations.length > 0 ? { ok: false, violations } : { ok: true, values };
}

/** Values for one model at one place: valid each, and together no contradiction to it. */
export function checkSpec(
  engine: Pick<Engine, "specKeys" | "contradictions">,
  at: { readonly weights: WeightsFacts; readonly hardware: Hardware; readonly switches: Switches },
  raw: unknown,
): SpecResult {
  const checked = validateSpec(engine.specKeys, raw);
  if (!checked.ok) return checked;
  const violations = engine.contradictions?.(at.weights, at.hardware, at.switches, checked.values) ?? [];
  return violations.length > 0 ? { ok: false, violations } : checked;
}

/** The value when it satisfies the key; undefined when it does not. */
function check(key: SpecKey, value: unknown): SpecValue | undefined {
  switch (key.type) {
    case "int":
      return typeof value === "number" && Number.isSafeInteger(value) && inRange(key, value)
        ? value
        : undefined;
    case "number":
      return typeof value === "number" && Number.isFinite(value) && inRange(key, value) ? value : undefined;
    case "boolean":
      return typeof value === "boolean" ? value : undefined;
    case "string":
      return isText(key, value) ? value : undefined;
    case "strings":
      return Array.isArray(value) &&
        value.length <= LIST_LENGTH_MAX &&
        value.every((text) => isText(key, text))
        ? value
        : undefined;
  }
}

function inRange(key: SpecKey, value: number): boolean {
  return value >= (key.min ?? Number.NEGATIVE_INFINITY) && value <= (key.max ?? Number.POSITIVE_INFINITY);
}

function isText(key: SpecKey, value: unknown): value is string {
  if (typeof value !== "string" || value.length > TEXT_LENGTH_MAX) return false;
  return key.oneOf === undefined || key.oneOf.includes(value);
}

function unknownKey(name: string, keys: readonly SpecKey[]): FieldViolation {
  const near = nearest(
    name,
    keys.map((key) => key.name),
  );
  const known = keys.map((key) => key.name).join(", ");
  const hint = near ? `Did you mean "${near}"?` : known === "" ? "It takes no keys." : `It knows ${known}.`;
  const shown = name.slice(0, 64);
  return violation(`model_spec.${shown}`, `the engine knows no key "${shown}". ${hint}`, "SPEC_KEY_UNKNOWN");
}

function invalidValue(key: SpecKey): FieldViolation {
  return violation(`model_spec.${key.name}`, `must be ${expectation(key)}`, "SPEC_VALUE_INVALID");
}

function expectation(key: SpecKey): string {
  if (key.type === "boolean") return "true or false";
  if (key.type === "string" || key.type === "strings") {
    const what = key.oneOf ? `one of ${key.oneOf.join(", ")}` : `at most ${TEXT_LENGTH_MAX} characters`;
    return key.type === "string" ? `a text: ${what}` : `a list of at most ${LIST_LENGTH_MAX} texts: ${what}`;
  }
  const kind = key.type === "int" ? "a whole number" : "a number";
  if (key.min !== undefined && key.max !== undefined) return `${kind} from ${key.min} to ${key.max}`;
  if (key.min !== undefined) return `${kind} of at least ${key.min}`;
  return key.max === undefined ? kind : `${kind} of at most ${key.max}`;
}

function violation(field: string, description: string, reason: "SPEC_KEY_UNKNOWN" | "SPEC_VALUE_INVALID") {
  return { field, description, reason };
}

/** The candidate that `name` was probably meant to be: the fewest edits, written the same way (case, `_`, `-`). */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  const plain = plainName(name.slice(0, 64));
  let best: { candidate: string; edits: number } | undefined;
  for (const candidate of candidates) {
    const edits = editDistance(plain, plainName(candidate));
    const near = edits <= Math.max(2, Math.floor(candidate.length * NEAR_SHARE));
    if (near && edits < (best?.edits ?? Number.POSITIVE_INFINITY)) best = { candidate, edits };
  }
  return best?.candidate;
}

function plainName(name: string): string {
  return name.toLowerCase().replace(/[_\-.\s]/g, "");
}

/** Levenshtein distance: insertions, deletions and replacements. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = at(previous, column - 1) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, at(previous, column) + 1, at(current, column - 1) + 1));
    }
    previous = current;
  }
  return at(previous, b.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
