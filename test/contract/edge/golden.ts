import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** Compares with a committed file; `UPDATE_GOLDEN=1` writes it instead. A missing file fails. */
export function assertGolden(name: string, value: unknown): void {
  const path = new URL(`./golden/${name}.golden.json`, import.meta.url);
  const text = `${JSON.stringify(value, null, 2)}\n`;
  if (process.env.UPDATE_GOLDEN === "1") writeFileSync(path, text);
  assert.ok(existsSync(path), `${name}.golden.json is missing: run once with UPDATE_GOLDEN=1 and review it`);
  assert.equal(text, readFileSync(path, "utf8"), `${name}: the wire changed`);
}
