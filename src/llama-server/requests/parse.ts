/** Request bodies become typed values here, once. Unknown fields are ignored; a wrong one is a 400 that names it. */
import type { z } from "zod";
import { StatusError } from "../../base/status.ts";

/** The typed body. Throws INVALID_FIELD with every violation; the first one is OpenAI's `param`. */
export function parseBody<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const violations = parsed.error.issues.slice(0, VIOLATIONS_MAX).map((issue) => ({
    field: issue.path.map(String).join("."),
    description: issue.message,
  }));
  const [first] = violations;
  throw new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "INVALID_FIELD",
    message: first ? `${first.field || "body"}: ${first.description}` : "The body is invalid.",
    violations,
  });
}

const VIOLATIONS_MAX = 20;
