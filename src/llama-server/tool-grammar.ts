/** Grammars that hold a model to calling tools, so that a forced call is valid whatever the model would rather say. */
import { GrammarBuilder, literal } from "./json-grammar.ts";
import type { Tool } from "./requests/tools-request.ts";
import { CALL_CLOSES, CALL_OPENS, type ToolFormat } from "./tool-calls.ts";

const OPTIONS = { param: "tools", lenient: true };

/** Exactly one call of one of the tools, as bare JSON. */
export function forcedCallGrammar(tools: readonly Tool[], format: ToolFormat): string {
  const builder = new GrammarBuilder(OPTIONS);
  return builder.grammar(callRule(builder, tools, format));
}

/** Either an answer by the schema or one call: for requests that have both tools and a response format. */
export function answerOrCallGrammar(answer: unknown, tools: readonly Tool[], format: ToolFormat): string {
  const builder = new GrammarBuilder({ param: "response_format", lenient: true });
  const call = callRule(builder, tools, format);
  const wrapped =
    format === "tagged" ? `${literal(CALL_OPENS)} ws (${call}) ws ${literal(CALL_CLOSES)}` : call;
  return builder.grammar(`${builder.schema(answer)} | ${wrapped}`);
}

function callRule(builder: GrammarBuilder, tools: readonly Tool[], format: ToolFormat): string {
  const key = format === "tagged" ? "arguments" : "parameters";
  const calls = tools.map((tool) => {
    const name = literal(`"name":`);
    const value = literal(JSON.stringify(tool.function.name));
    const parameters = builder.schema(tool.function.parameters ?? { type: "object", properties: {} });
    return `"{" ws ${name} ws ${value} "," ws ${literal(`"${key}":`)} ws ${parameters} ws "}"`;
  });
  return calls.join(" | ");
}
