/** One choice of a conversation: generated text with the tool calls read out of it. */
import type { LlamaContextSequence } from "node-llama-cpp";
import type { ChatPlan } from "./chat-plan.ts";
import { generate, type Piece, type TokenCount } from "./generate.ts";
import type { TokenLogprob } from "./logprobs.ts";
import { seedOfChoice } from "./requests/sampling-request.ts";
import type { Service } from "./service.ts";
import type { Lease } from "./slots.ts";
import {
  createToolParser,
  type KnownTools,
  parseCall,
  type ToolCall,
  type ToolEvent,
  type ToolParser,
} from "./tool-calls.ts";

export type AnswerEvent =
  | { readonly kind: "text"; readonly text: string; readonly logprobs: readonly TokenLogprob[] }
  | { readonly kind: "call"; readonly call: ToolCall };

export interface AnswerEnd {
  readonly reason: "stop" | "length" | "tool_calls";
  readonly stop: string | null;
}

export interface AnswerInput {
  readonly plan: ChatPlan;
  /** 0 for the first choice; the others draw with other seeds. */
  readonly choice: number;
  readonly count: TokenCount;
  readonly signal: AbortSignal;
}

/** Events in the order of the text. Log probabilities ride on the text that they belong to. */
export async function* answer(
  service: Service,
  lease: Lease<LlamaContextSequence>,
  input: AnswerInput,
): AsyncGenerator<AnswerEvent, AnswerEnd> {
  const { plan } = input;
  const parser = parserOf(plan, service);
  const pieces = generate(service.engine, lease, {
    prompt: plan.prompt,
    maxTokens: plan.maxTokens,
    sampling: seedOfChoice(plan.sampling, input.choice),
    stops: plan.stops,
    ignoreEnd: plan.ignoreEnd,
    grammar: plan.grammar,
    topLogprobs: plan.topLogprobs,
    count: input.count,
    signal: input.signal,
  });
  let called = false;
  let logprobs: TokenLogprob[] = [];
  const events = function* (found: readonly ToolEvent[]): Generator<AnswerEvent> {
    for (const event of found) {
      if (event.kind === "call") {
        called = true;
        yield event;
      } else {
        yield { ...event, logprobs };
        logprobs = [];
      }
    }
  };
  const one = !plan.toolUse.parallel;
  let next = await pieces.next();
  while (!next.done) {
    const piece: Piece = next.value;
    logprobs.push(...piece.logprobs);
    yield* events(parser.push(piece.text));
    if (called && one) {
      await pieces.return({ reason: "stop", stop: null });
      return { reason: "tool_calls", stop: null };
    }
    next = await pieces.next();
  }
  yield* events(parser.end());
  const { reason, stop } = next.value;
  return { reason: called && reason === "stop" ? "tool_calls" : reason, stop };
}

function parserOf(plan: ChatPlan, service: Service): ToolParser {
  const tools: KnownTools = {
    names: new Set(plan.toolUse.tools.map((tool) => tool.function.name)),
    newCallId: () => `call_${service.random.uuid().replaceAll("-", "").slice(0, 24)}`,
  };
  if (plan.toolUse.forced) return forcedParser(tools);
  return tools.names.size === 0 ? textParser : createToolParser(plan.toolFormat, tools);
}

const textParser: ToolParser = { push: (text) => [{ kind: "text", text }], end: () => [] };

/** A forced answer is one call and nothing else; cut short by a limit it comes through as the text that it is. */
function forcedParser(tools: KnownTools): ToolParser {
  let text = "";
  return {
    push(more) {
      text += more;
      return [];
    },
    end() {
      const call = parseCall(text, tools);
      if (call) return [{ kind: "call", call }];
      return text === "" ? [] : [{ kind: "text", text }];
    },
  };
}
