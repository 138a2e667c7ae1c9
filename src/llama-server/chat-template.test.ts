import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "../base/status.ts";
import { CHATML, createChatTemplate } from "./chat-template.ts";

const TEXTS = { bos: "<s>", eos: "</s>" };
const INPUT = { messages: [{ role: "user", content: "hi" }], tools: [], variables: {} };

function refusal(source: string): StatusError {
  try {
    createChatTemplate(source, TEXTS, 100).render(INPUT);
  } catch (error) {
    if (error instanceof StatusError) return error;
  }
  throw new Error("the template was not refused");
}

test("the fallback writes ChatML and begins the answer", () => {
  const text = createChatTemplate(CHATML, TEXTS).render(INPUT);
  assert.equal(text, "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
});

test("a template sees its texts, the tools and the request's variables", () => {
  const template = createChatTemplate(
    "{{ bos_token }}{{ tools | length }}{{ thinking }}{{ eos_token }}",
    TEXTS,
  );
  assert.equal(template.render({ ...INPUT, tools: [{}, {}], variables: { thinking: "no" } }), "<s>2no</s>");
});

test("a template that loops is stopped, and the request is refused", () => {
  const endless =
    "{% for i in range(100000000) %}{% for j in range(100000000) %}{{ j }}{% endfor %}{% endfor %}";
  assert.equal(refusal(endless).code, "INVALID_ARGUMENT");
});

test("what a template refuses is a bad request with its own words", () => {
  const error = refusal("{{ raise_exception('roles must alternate') }}");
  assert.equal(error.violations[0]?.field, "messages");
  assert.match(error.message, /roles must alternate/);
});

test("a template that fails is a bad request", () => {
  assert.equal(refusal("{{ messages[0].content | no_such_filter }}").code, "INVALID_ARGUMENT");
});
