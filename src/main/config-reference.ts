import { z } from "zod";
import { settings } from "./settings.ts";

/** Defaults that depend on the machine, in words, so that the reference is the same everywhere. */
const COMPUTED: Readonly<Record<string, string>> = {
  SLIPWAY_REPLICA_MEMORY_GIB: "half of the machine's memory",
  SLIPWAY_RUNWAY_MARKS: "`24h,6h,1h`",
};

/** The configuration reference as a Markdown table, from the schema itself. */
export function configReference(): string {
  const rows = Object.entries(settings.shape).map(([name, schema]) => {
    const described = schema instanceof z.ZodType ? (schema.description ?? "") : "";
    return `| \`${name}\` | ${COMPUTED[name] ?? fallbackOf(schema)} | ${described} |`;
  });
  return ["| variable | default | what it does |", "|---|---|---|", ...rows].join("\n");
}

function fallbackOf(schema: z.ZodType): string {
  const parsed = schema.safeParse(undefined);
  if (!parsed.success || parsed.data === undefined) return "unset";
  if (Array.isArray(parsed.data)) return parsed.data.length === 0 ? "none" : `\`${parsed.data.join(",")}\``;
  return `\`${String(parsed.data)}\``;
}
