/**
 * The chat template of the model's file: a Jinja program by whoever made the file. It runs with bounds on time and output, in
 * this process, which holds nothing but the model and is confined by the driver.
 */
import vm from "node:vm";
import { Template } from "@huggingface/jinja";
import { badParam } from "./api-error.ts";

/** A message as templates expect it: text content, parsed call arguments. */
export interface TemplateMessage {
  readonly role: string;
  readonly content: string;
  readonly name?: string;
  readonly tool_call_id?: string;
  readonly tool_calls?: readonly TemplateToolCall[];
}

export interface TemplateToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: unknown };
}

export interface TemplateInput {
  readonly messages: readonly TemplateMessage[];
  readonly tools: readonly unknown[];
  /** Extra variables of the template (`enable_thinking` …), as the request's chat_template_kwargs names them. */
  readonly variables: Readonly<Record<string, unknown>>;
}

export interface ChatTemplate {
  readonly source: string;
  /** Throws INVALID_FIELD (param `messages`) when the template refuses the messages, fails, or passes its bounds. */
  render(input: TemplateInput): string;
}

/** Used where the file brings no template. */
export const CHATML = [
  "{%- for message in messages %}",
  "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}",
  "{%- endfor %}",
  "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}",
].join("\n");

/** Rendering takes milliseconds; a template that loops holds up every stream of the replica for at most this long. */
const RENDER_MAX_MS = 2_000;
/** Far beyond any context; a template that multiplies its input stops here. */
const RENDERED_LENGTH_MAX = 16 * 1024 * 1024;

/** Parses the template. Throws the parser's error for text that is no Jinja. */
export function createChatTemplate(
  source: string,
  texts: { readonly bos: string; readonly eos: string },
  renderMaxMs: number = RENDER_MAX_MS,
): ChatTemplate {
  const template = new Template(source);
  return {
    source,
    render(input) {
      const text = withinTime(renderMaxMs, () => template.render(variables(input, texts)));
      if (text.length > RENDERED_LENGTH_MAX) throw refused("its text is too long");
      return text;
    },
  };
}

function variables(
  input: TemplateInput,
  texts: { readonly bos: string; readonly eos: string },
): Record<string, unknown> {
  return {
    ...input.variables,
    messages: input.messages,
    ...(input.tools.length > 0 ? { tools: input.tools } : {}),
    add_generation_prompt: true,
    bos_token: texts.bos,
    eos_token: texts.eos,
  };
}

const call = new vm.Script("run()");
const sandbox: { run: () => unknown } = { run: () => "" };
vm.createContext(sandbox);

/** The one way to stop code that runs on this thread: V8 ends whatever runs inside the script, wherever it was defined. */
function withinTime(timeout: number, run: () => string): string {
  try {
    sandbox.run = run;
    return String(call.runInContext(sandbox, { timeout }));
  } catch (error) {
    const message = error instanceof Error ? error.message : "unknown error";
    throw refused(message.slice(0, 300));
  }
}

function refused(why: string) {
  return badParam("messages", `The model's chat template can't render these messages: ${why}.`);
}
