/** Requests to the engine under test, greedy unless a test says otherwise, so that the same request has the same answer. */
import assert from "node:assert/strict";
import { type Answer, eventsOf, type TestEngine } from "./start-engine.ts";

export const QUESTION = "tell me about the people of the world and the work that they do";

/** A chat request. */
export function chat(fields: object = {}) {
  return {
    model: "tiny",
    messages: [{ role: "user", content: QUESTION }],
    temperature: 0,
    max_tokens: 12,
    ...fields,
  };
}

export interface ChatClient {
  /** The answer of a POST that must succeed. */
  answered(path: string, body: unknown): Promise<Answer>;
  /** Status and error of a POST that must fail. */
  refused(path: string, body: unknown): Promise<{ status: number; error: Answer }>;
  completeChat(fields?: object): Promise<Answer>;
  /** All chunks of a streamed chat. */
  streamChat(fields?: object): Promise<Answer[]>;
}

export function chatClient(engine: TestEngine): ChatClient {
  const answered = async (path: string, body: unknown): Promise<Answer> => {
    const { status, body: answer } = await engine.post(path, body);
    assert.equal(status, 200, JSON.stringify(answer));
    return answer;
  };
  return {
    answered,
    async refused(path, body) {
      const { status, body: answer } = await engine.post(path, body);
      assert.notEqual(status, 200);
      return { status, error: answer.error };
    },
    completeChat: (fields) => answered("/v1/chat/completions", chat(fields)),
    streamChat: async (fields) =>
      eventsOf(await engine.fetch("/v1/chat/completions", chat({ ...fields, stream: true }))),
  };
}

export function streamedText(events: readonly Answer[], index = 0): string {
  const choices = events.flatMap((event) => event.choices).filter((choice) => choice.index === index);
  return choices.map((choice) => choice.delta?.content ?? "").join("");
}

export const contentOf = (answer: Answer): string => answer.choices[0].message.content;
