/** POST /v1/chat/completions. */
import { type AnswerEnd, type AnswerEvent, answer } from "../answer.ts";
import { type ChatPlan, planChat } from "../chat-plan.ts";
import type { TokenLogprob } from "../logprobs.ts";
import { type ChatRequest, chatRequest } from "../requests/chat-request.ts";
import { parseBody } from "../requests/parse.ts";
import { checkSampling, samplingOf, stopsOf } from "../requests/sampling-request.ts";
import { toolUseOf } from "../requests/tools-request.ts";
import {
  answerHead,
  type Call,
  newCount,
  onSequence,
  type Service,
  servedModel,
  sumCounts,
  usageBody,
} from "../service.ts";
import type { ToolCall } from "../tool-calls.ts";

export async function chatCompletions(service: Service, call: Call): Promise<void> {
  const body = parseBody(chatRequest, call.body);
  const model = servedModel(service, body.model);
  checkSampling(body);
  const plan = await planChat(service.engine, conversationOf(service, body));
  const head = answerHead(service, "chatcmpl", model);
  const writer = body.stream ? streamWriter(call, head, body) : bodyWriter(call, head);
  await runChoices(service, call, plan, body.n ?? 1, writer);
}

function conversationOf(service: Service, body: ChatRequest) {
  return {
    messages: body.messages,
    toolUse: toolUseOf(body),
    format: body.response_format,
    variables: body.chat_template_kwargs ?? {},
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? undefined,
    sampling: samplingOf(body, service.engine.vocabulary, service.random),
    stops: stopsOf(body),
    ignoreEnd: body.ignore_eos ?? false,
    topLogprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
    salt: body.cache_salt ?? "",
  };
}

/** Receives the choices one after the other, each as events and an end. */
interface Writer {
  event(choice: number, event: AnswerEvent): void;
  end(choice: number, end: AnswerEnd): void;
  usage(usage: ReturnType<typeof usageBody>): void;
}

async function runChoices(
  service: Service,
  call: Call,
  plan: ChatPlan,
  choices: number,
  writer: Writer,
): Promise<void> {
  const work = { prompt: plan.prompt, salt: plan.salt, counts: [], signal: call.signal };
  await onSequence(service, work, async (lease, metrics) => {
    let reason: AnswerEnd["reason"] = "stop";
    for (let choice = 0; choice < choices; choice++) {
      const count = newCount(work.counts);
      const events = answer(service, lease, { plan, choice, count, signal: call.signal });
      let next = await events.next();
      while (!next.done) {
        metrics.piece(sumCounts(work.counts));
        writer.event(choice, next.value);
        next = await events.next();
      }
      writer.end(choice, next.value);
      reason = next.value.reason;
    }
    return reason;
  });
  writer.usage(usageBody(plan.prompt.length, sumCounts(work.counts)));
}

interface Head {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

/** Chunks: the role with the first event, deltas, one with the finish reason a choice; usage last where it was asked for. */
function streamWriter(call: Call, head: Head, body: ChatRequest): Writer {
  const stream = call.reply.events();
  const calls = new Map<number, number>();
  const begun = new Set<number>();
  const chunk = (choice: object) => ({ ...head, object: "chat.completion.chunk", choices: [choice] });
  const begin = (index: number) => {
    if (begun.has(index)) return;
    begun.add(index);
    stream.send(
      chunk({ index, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }),
    );
  };
  return {
    event(index, event) {
      begin(index);
      const position = calls.get(index) ?? 0;
      if (event.kind === "call") calls.set(index, position + 1);
      const delta =
        event.kind === "text"
          ? { content: event.text }
          : { tool_calls: [{ index: position, ...callBody(event.call) }] };
      stream.send(chunk({ index, delta, logprobs: logprobsBody(event), finish_reason: null }));
    },
    end(index, end) {
      begin(index);
      stream.send(
        chunk({ index, delta: {}, logprobs: null, finish_reason: end.reason, stop_reason: end.stop }),
      );
    },
    usage(usage) {
      if (body.stream_options?.include_usage) {
        stream.send({ ...head, object: "chat.completion.chunk", choices: [], usage });
      }
      stream.done();
    },
  };
}

function bodyWriter(call: Call, head: Head): Writer {
  const choices: object[] = [];
  let text = "";
  let calls: ToolCall[] = [];
  let logprobs: ReturnType<typeof logprobBody>[] | undefined;
  return {
    event(_index, event) {
      if (event.kind === "call") calls.push(event.call);
      else text += event.text;
      const more = logprobsBody(event);
      if (more) logprobs = [...(logprobs ?? []), ...more.content];
    },
    end(index, end) {
      const message = {
        role: "assistant",
        content: text === "" && calls.length > 0 ? null : text,
        refusal: null,
        ...(calls.length > 0 ? { tool_calls: calls.map(callBody) } : {}),
      };
      choices.push({
        index,
        message,
        logprobs: logprobs ? { content: logprobs } : null,
        finish_reason: end.reason,
        stop_reason: end.stop,
      });
      text = "";
      calls = [];
      logprobs = undefined;
    },
    usage(usage) {
      call.reply.json({ ...head, object: "chat.completion", choices, usage });
    },
  };
}

function callBody(call: ToolCall) {
  return { id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } };
}

function logprobsBody(event: AnswerEvent) {
  if (event.kind === "call" || event.logprobs.length === 0) return null;
  return { content: event.logprobs.map(logprobBody) };
}

function logprobBody({ token, logprob, bytes, top }: TokenLogprob) {
  return { token, logprob, bytes, top_logprobs: top };
}
