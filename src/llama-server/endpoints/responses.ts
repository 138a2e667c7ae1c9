/** POST /v1/responses: OpenAI's newer surface over the same conversation machinery. Nothing is stored. */
import { type AnswerEnd, answer } from "../answer.ts";
import { planChat } from "../chat-plan.ts";
import type { ChatMessage, ResponseFormat } from "../requests/chat-request.ts";
import { parseBody } from "../requests/parse.ts";
import {
  type ResponsesItem,
  type ResponsesRequest,
  responsesRequest,
} from "../requests/responses-request.ts";
import { samplingOf } from "../requests/sampling-request.ts";
import { type ToolsRequest, toolUseOf } from "../requests/tools-request.ts";
import { type Call, newCount, onSequence, type Service, servedModel, sumCounts } from "../service.ts";
import { createResponseWriter, type ResponseHead } from "./responses-writer.ts";

export async function responses(service: Service, call: Call): Promise<void> {
  const body = parseBody(responsesRequest, call.body);
  const model = servedModel(service, body.model);
  const plan = await planChat(service.engine, conversationOf(service, body));
  const newId = (prefix: string) => `${prefix}_${service.random.uuid().replaceAll("-", "")}`;
  const head = headOf(service, body, model, newId("resp"));
  const writer = createResponseWriter(head, newId, body.stream ? call.reply.events() : undefined);
  const work = { prompt: plan.prompt, salt: plan.salt, counts: [], signal: call.signal };
  let end: AnswerEnd = { reason: "stop", stop: null };
  await onSequence(service, work, async (lease, metrics) => {
    const count = newCount(work.counts);
    const events = answer(service, lease, { plan, choice: 0, count, signal: call.signal });
    let next = await events.next();
    while (!next.done) {
      metrics.piece(count);
      writer.event(next.value);
      next = await events.next();
    }
    end = next.value;
    return end.reason;
  });
  const whole = writer.end(end, plan.prompt.length, sumCounts(work.counts));
  if (!body.stream) call.reply.json(whole);
}

function conversationOf(service: Service, body: ResponsesRequest) {
  const instructions: ChatMessage[] = body.instructions
    ? [{ role: "system", content: body.instructions }]
    : [];
  const input: readonly ChatMessage[] =
    typeof body.input === "string" ? [{ role: "user", content: body.input }] : messagesOf(body.input);
  return {
    messages: [...instructions, ...input],
    toolUse: toolUseOf(toolsOf(body)),
    format: formatOf(body),
    variables: {},
    maxTokens: body.max_output_tokens ?? undefined,
    sampling: samplingOf(body, service.engine.vocabulary, service.random),
    stops: [],
    ignoreEnd: false,
    topLogprobs: undefined,
    salt: body.cache_salt ?? "",
  };
}

/** Items to messages; calls that follow one another belong to one message of the assistant. */
function messagesOf(items: readonly ResponsesItem[]): ChatMessage[] {
  const messages: ChatMessage[] = [];
  for (const item of items) {
    if (item.type === "reasoning") continue;
    if (item.type === "function_call") {
      const call = {
        id: item.call_id,
        type: "function" as const,
        function: { name: item.name, arguments: item.arguments },
      };
      const last = messages.at(-1);
      if (last?.role === "assistant" && last.tool_calls) last.tool_calls.push(call);
      else messages.push({ role: "assistant", content: "", tool_calls: [call] });
    } else if (item.type === "function_call_output") {
      messages.push({ role: "tool", content: item.output, tool_call_id: item.call_id });
    } else messages.push({ role: item.role, content: item.content });
  }
  return messages;
}

/** Responses write tools flat; chat nests them under `function`. */
function toolsOf(body: ResponsesRequest): ToolsRequest {
  const choice = body.tool_choice;
  return {
    tools: body.tools?.map(({ type, ...definition }) => ({ type, function: definition })),
    tool_choice:
      typeof choice === "object" && choice !== null
        ? { type: "function", function: { name: choice.name } }
        : choice,
    parallel_tool_calls: body.parallel_tool_calls,
  };
}

function formatOf(body: ResponsesRequest): ResponseFormat {
  const format = body.text?.format;
  if (format?.type !== "json_schema") return format;
  return { type: "json_schema", json_schema: { schema: format.schema } };
}

/** What every form of the answer repeats of the request. */
function headOf(service: Service, body: ResponsesRequest, model: string, id: string): ResponseHead {
  return {
    id,
    object: "response",
    created_at: Math.floor(service.clock.now().getTime() / 1_000),
    model,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    store: false,
    temperature: body.temperature ?? 1,
    text: { format: body.text?.format ?? { type: "text" } },
    tool_choice: body.tool_choice ?? "auto",
    tools: body.tools ?? [],
    top_p: body.top_p ?? 1,
    truncation: "disabled",
    error: null,
  };
}
