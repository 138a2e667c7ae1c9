import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createToolParser, type ToolEvent, type ToolFormat, toolFormatOf } from "./tool-calls.ts";

const NAMES = new Set(["weather", "time"]);

/** What came out: text joined, calls without their ids. */
function parse(pieces: readonly string[], format: ToolFormat = "tagged") {
  const parser = createToolParser(format, { names: NAMES, newCallId: () => "call_1" });
  const events: ToolEvent[] = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
  const text = events.map((event) => (event.kind === "text" ? event.text : "")).join("");
  const calls = events.flatMap((event) =>
    event.kind === "call" ? [[event.call.name, event.call.arguments]] : [],
  );
  return { text, calls };
}

const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>';

test("a tagged call is read, and the text around it kept", () => {
  assert.deepEqual(parse([`Let me see.\n${CALL}`]), {
    text: "Let me see.",
    calls: [["weather", '{"city":"Rome"}']],
  });
});

test("several calls come in their order", () => {
  const second = '<tool_call>{"name":"time","arguments":{}}</tool_call>';
  assert.deepEqual(parse([`${CALL}\n${second}`]).calls, [
    ["weather", '{"city":"Rome"}'],
    ["time", "{}"],
  ]);
});

test("text that is no call to a known tool stays text, to the letter", () => {
  for (const text of [
    '<tool_call>{"name":"nope","arguments":{}}</tool_call> x',
    "<tool_call>not json</tool_call>",
    "<tool",
    "a  ",
  ]) {
    assert.deepEqual(parse([text]), { text, calls: [] });
  }
});

test("a call that was never closed counts when it is whole", () => {
  assert.deepEqual(parse(['<tool_call>{"name":"time","arguments":{}}']).calls, [["time", "{}"]]);
});

test("an answer that is a call in Llama's form is read, any other streams as text", () => {
  const call = '{"name": "weather", "parameters": {"city": "Rome"}}';
  assert.deepEqual(parse([...call], "json"), { text: "", calls: [["weather", '{"city":"Rome"}']] });
  assert.deepEqual(parse(["No {call}"], "json"), { text: "No {call}", calls: [] });
  assert.deepEqual(parse(['{"a": 1}'], "json"), { text: '{"a": 1}', calls: [] });
});

test("the form is read off the chat template", () => {
  assert.equal(toolFormatOf("… <tool_call> …"), "tagged");
  assert.equal(toolFormatOf("… <|python_tag|> …"), "json");
  assert.equal(toolFormatOf("{{ messages }}"), "tagged");
});

test("how an answer is cut into pieces changes nothing", () => {
  const fragment = fc.constantFrom(
    CALL,
    "text ",
    "\n",
    "<tool_call>",
    "</tool_call>",
    "<tool_",
    '{"name":"time"}',
    "a",
  );
  fc.assert(
    fc.property(
      fc.array(fragment, { maxLength: 6 }),
      fc.constantFrom<ToolFormat>("tagged", "json"),
      (fragments, format) => {
        const whole = fragments.join("");
        assert.deepEqual(parse([...whole], format), parse([whole], format));
      },
    ),
  );
});
