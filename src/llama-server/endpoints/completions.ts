/** POST /v1/completions: raw prompts. Special tokens in them count, since whoever writes a raw prompt writes its template too. */
import type { Token } from "node-llama-cpp";
import { type Finish, generate, type Piece, type TokenCount } from "../generate.ts";
import type { TokenLogprob } from "../logprobs.ts";
import { answerTokens, knownTokens, promptTokens, withBeginning } from "../prompt.ts";
import { type CompletionRequest, completionRequest, promptsOf } from "../requests/completion-request.ts";
import { parseBody } from "../requests/parse.ts";
import { checkSampling, samplingOf, seedOfChoice, stopsOf } from "../requests/sampling-request.ts";
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

/** OpenAI's default. */
const MAX_TOKENS_DEFAULT = 16;

export async function completions(service: Service, call: Call): Promise<void> {
  const body = parseBody(completionRequest, call.body);
  const model = servedModel(service, body.model);
  checkSampling(body);
  const plans = promptsOf(body.prompt).map((prompt) => planPrompt(service, body, prompt));
  const head = { ...answerHead(service, "cmpl", model), object: "text_completion" };
  const writer = body.stream ? streamWriter(call, head, body) : bodyWriter(call, head, body);
  const perPrompt = body.n ?? 1;
  const total: TokenCount = { cachedTokens: 0, completionTokens: 0 };
  for (const [index, plan] of plans.entries()) {
    const count = await runPrompt(service, call, body, plan, index * perPrompt, writer);
    total.cachedTokens += count.cachedTokens;
    total.completionTokens += count.completionTokens;
  }
  writer.usage(
    usageBody(
      plans.reduce((sum, plan) => sum + plan.prompt.length, 0),
      total,
    ),
  );
}

interface PromptPlan {
  readonly prompt: readonly Token[];
  readonly maxTokens: number;
}

function planPrompt(
  service: Service,
  body: CompletionRequest,
  prompt: string | readonly number[],
): PromptPlan {
  const { engine } = service;
  const tokens =
    typeof prompt === "string"
      ? promptTokens(engine, withBeginning(engine, prompt), "prompt")
      : knownTokens(engine, prompt, "prompt");
  return {
    prompt: tokens,
    maxTokens: answerTokens(engine, tokens.length, body.max_tokens ?? MAX_TOKENS_DEFAULT, "prompt"),
  };
}

interface Writer {
  piece(choice: number, piece: Piece): void;
  end(choice: number, finish: Finish): void;
  usage(usage: ReturnType<typeof usageBody>): void;
}

/** All choices of one prompt, one after the other on one sequence: its prompt is evaluated once. */
async function runPrompt(
  service: Service,
  call: Call,
  body: CompletionRequest,
  plan: PromptPlan,
  firstChoice: number,
  writer: Writer,
): Promise<TokenCount> {
  const work = { prompt: plan.prompt, salt: body.cache_salt ?? "", counts: [], signal: call.signal };
  const sampling = samplingOf(body, service.engine.vocabulary, service.random);
  await onSequence(service, work, async (lease, metrics) => {
    let reason: Finish["reason"] = "stop";
    for (let choice = 0; choice < (body.n ?? 1); choice++) {
      const pieces = generate(service.engine, lease, {
        ...plan,
        sampling: seedOfChoice(sampling, firstChoice + choice),
        stops: stopsOf(body),
        ignoreEnd: body.ignore_eos ?? false,
        grammar: undefined,
        topLogprobs: body.logprobs ?? undefined,
        count: newCount(work.counts),
        signal: call.signal,
      });
      let next = await pieces.next();
      while (!next.done) {
        metrics.piece(sumCounts(work.counts));
        writer.piece(firstChoice + choice, next.value);
        next = await pieces.next();
      }
      writer.end(firstChoice + choice, next.value);
      reason = next.value.reason;
    }
    return reason;
  });
  return sumCounts(work.counts);
}

function streamWriter(call: Call, head: object, body: CompletionRequest): Writer {
  const stream = call.reply.events();
  const offsets = new Map<number, number>();
  const send = (choice: object) => stream.send({ ...head, choices: [choice] });
  return {
    piece(index, piece) {
      const offset = offsets.get(index) ?? 0;
      offsets.set(index, offset + piece.text.length);
      send({ index, text: piece.text, logprobs: logprobsBody(piece.logprobs, offset), finish_reason: null });
    },
    end(index, finish) {
      send({ index, text: "", logprobs: null, finish_reason: finish.reason, stop_reason: finish.stop });
    },
    usage(usage) {
      if (body.stream_options?.include_usage) stream.send({ ...head, choices: [], usage });
      stream.done();
    },
  };
}

function bodyWriter(call: Call, head: object, body: CompletionRequest): Writer {
  const choices: object[] = [];
  let text = "";
  let logprobs: TokenLogprob[] = [];
  const wanted = typeof body.logprobs === "number";
  return {
    piece(_index, piece) {
      text += piece.text;
      logprobs.push(...piece.logprobs);
    },
    end(index, finish) {
      choices.push({
        index,
        text,
        logprobs: wanted ? logprobsBody(logprobs, 0) : null,
        finish_reason: finish.reason,
        stop_reason: finish.stop,
      });
      text = "";
      logprobs = [];
    },
    usage(usage) {
      call.reply.json({ ...head, choices, usage });
    },
  };
}

/** The older shape: parallel lists, with offsets into the text of the choice. */
function logprobsBody(logprobs: readonly TokenLogprob[], startsAt: number) {
  if (logprobs.length === 0) return null;
  let offset = startsAt;
  return {
    tokens: logprobs.map((entry) => entry.token),
    token_logprobs: logprobs.map((entry) => entry.logprob),
    top_logprobs: logprobs.map((entry) =>
      Object.fromEntries(entry.top.map((top) => [top.token, top.logprob])),
    ),
    text_offset: logprobs.map((entry) => {
      const at = offset;
      offset += entry.token.length;
      return at;
    }),
  };
}
