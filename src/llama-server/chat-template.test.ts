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

/** What templates of today's model families are written with, construct by construct. */
const CONSTRUCTS: readonly { readonly what: string; readonly source: string; readonly text: string }[] = [
  {
    what: "a system message taken apart from the rest, and defaults for what the request does not set",
    source:
      "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] | trim %}{%- set messages = messages[1:] %}" +
      "{%- else %}{%- set system = '' %}{%- endif %}{%- if not tools is defined %}{%- set tools = none %}{%- endif %}" +
      "[{{ system }}|{{ messages | length }}|{{ 'no tools' if tools is none }}|{{ 'on' if enable_thinking is not defined else 'set' }}]",
    text: "[be kind|4|no tools|on]",
  },
  {
    what: "a namespace that a loop writes to, and the loop's own variables",
    source:
      "{%- set ns = namespace(found=false, last=0) %}{%- for m in messages[::-1] %}" +
      "{%- if m.role == 'user' and not ns.found %}{%- set ns.found = true %}{%- set ns.last = (messages | length - 1) - loop.index0 %}{%- endif %}" +
      "{%- if loop.last %}{{ loop.index }}{%- endif %}{%- endfor %}:{{ ns.last }}",
    text: "5:3",
  },
  {
    what: "calls and their answers, with arguments as JSON",
    source:
      "{%- for m in messages %}{%- if m.tool_calls %}{%- for call in m.tool_calls %}{%- if call.function %}{%- set call = call.function %}{%- endif %}" +
      "{{ call.name }}({{ call.arguments | tojson }}){%- endfor %}{%- elif m.role == 'tool' %}={{ m.content }}{%- endif %}{%- endfor %}",
    text: 'add({"a": 1})=2',
  },
  {
    what: "text cut out of an earlier answer, and a macro",
    source:
      "{%- macro turn(role, text) %}<{{ role | upper }}>{{ text }}{%- endmacro %}" +
      "{%- set said = '<think>hm</think>yes' %}{{ turn('assistant', said.split('</think>')[-1].lstrip('\n')) }}{{ '!' if said.startswith('<think>') }}",
    text: "<ASSISTANT>yes!",
  },
  {
    what: "content that may be text or parts, and string tests",
    source:
      "{%- for m in messages %}{%- if m.content is string %}{{ loop.index }}{%- elif m.content is iterable %}i{%- endif %}{%- endfor %}" +
      "{{ 'x' ~ 1 }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    text: "12345x12",
  },
];

for (const { what, source, text } of CONSTRUCTS) {
  test(`templates may use ${what}`, () => {
    const call = { type: "function" as const, function: { name: "add", arguments: { a: 1 } } };
    const messages = [
      { role: "system", content: " be kind " },
      { role: "user", content: "1 + 1" },
      { role: "assistant", content: "", tool_calls: [{ id: "c1", ...call }] },
      { role: "user", content: "well?" },
      { role: "tool", content: "2", tool_call_id: "c1" },
    ];
    assert.equal(createChatTemplate(source, TEXTS).render({ messages, tools: [], variables: {} }), text);
  });
}

test("templates may write today's date", () => {
  const template = createChatTemplate("{{ strftime_now('%Y') }}", TEXTS);
  assert.match(template.render(INPUT), /^\d{4}$/);
});
