import { plainLine } from "./plain.ts";

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly right?: boolean;
}

const GAP = "  ";

/** Aligned columns under their titles, one line a row; "" for no rows. A column without title and cells is left out. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const shown = columns.flatMap((column, at) =>
    column.title !== "" || rows.some((row) => row[at] !== "") ? [{ ...column, at }] : [],
  );
  const cells = [
    shown.map(({ title }) => title),
    ...rows.map((row) => shown.map(({ at }) => plainLine(row[at] ?? ""))),
  ];
  const widths = shown.map((_, at) => Math.max(...cells.map((row) => lengthOf(row[at] ?? ""))));
  return cells.map((row) => `${line(shown, row, widths)}\n`).join("");
}

/** "name  value" lines, the names aligned; empty values are left out. */
export function facts(pairs: readonly (readonly [name: string, value: string])[]): string {
  const kept = pairs.filter(([, value]) => value !== "" && value !== "-");
  const width = Math.max(0, ...kept.map(([name]) => lengthOf(name)));
  return kept.map(([name, value]) => `${name.padEnd(width)}${GAP}${plainLine(value)}\n`).join("");
}

function line(columns: readonly Column[], row: readonly string[], widths: readonly number[]): string {
  const padded = columns.map((column, at) => pad(row[at] ?? "", widths[at] ?? 0, column.right === true));
  return padded.join(GAP).trimEnd();
}

function pad(text: string, width: number, right: boolean): string {
  const space = " ".repeat(Math.max(0, width - lengthOf(text)));
  return right ? space + text : text + space;
}

function lengthOf(text: string): number {
  return [...text].length;
}
