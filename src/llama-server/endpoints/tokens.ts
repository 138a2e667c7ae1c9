/** POST /tokenize and POST /detokenize, in vLLM's shapes. */
import { conversationText } from "../chat-plan.ts";
import { knownTokens, promptTokens, withBeginning } from "../prompt.ts";
import { parseBody } from "../requests/parse.ts";
import { detokenizeRequest, tokenizeRequest } from "../requests/tokenize-request.ts";
import { type Call, type Service, servedModel } from "../service.ts";

/** A prompt is tokenised as completions would, messages as chat completions would: the count is what those would evaluate. */
export async function tokenize(service: Service, call: Call): Promise<void> {
  const { engine } = service;
  const body = parseBody(tokenizeRequest, call.body);
  servedModel(service, body.model);
  const prompt = body.prompt ?? "";
  const text = body.messages
    ? conversationText(engine, body.messages, body.tools ?? [], {})
    : body.add_special_tokens === false
      ? prompt
      : withBeginning(engine, prompt);
  const tokens = promptTokens(engine, text, body.messages ? "messages" : "prompt");
  call.reply.json({
    count: tokens.length,
    max_model_len: engine.contextTokens,
    tokens,
    token_strs: tokens.map((token) => engine.model.detokenize([token], true)),
  });
}

/** Text of the tokens. Control tokens, such as the beginning token, have none. */
export async function detokenize(service: Service, call: Call): Promise<void> {
  const { engine } = service;
  const body = parseBody(detokenizeRequest, call.body);
  servedModel(service, body.model);
  call.reply.json({ prompt: engine.model.detokenize(knownTokens(engine, body.tokens, "tokens")) });
}
