import type { DescField } from "@bufbuild/protobuf";
import type { PathTemplate } from "../src/rpc/path-template.ts";

/** A template as OpenAPI writes paths: `/v1/models/{modelId}:pause`. */
export function printPath(template: PathTemplate, inPath: readonly DescField[]): string {
  const parts: string[] = [];
  for (let at = 0; at < template.segments.length; at++) {
    const variable = template.variables.findIndex(({ start }) => start === at);
    const segment = template.segments[at];
    if (variable >= 0) {
      parts.push(`{${inPath[variable]?.jsonName}}`);
      at = (template.variables[variable]?.end ?? at + 1) - 1;
    } else if (segment?.kind === "literal") {
      parts.push(segment.text);
    }
  }
  return `/${parts.join("/")}${template.verb === "" ? "" : `:${template.verb}`}`;
}
