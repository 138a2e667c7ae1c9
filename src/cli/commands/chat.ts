import { createInterface } from "node:readline/promises";
import { type Command, InvalidArgumentError } from "commander";
import { invalidArgument } from "../../base/status.ts";
import { type ChatMessage, type ChatOptions, streamChat, type Usage } from "../chat-stream.ts";
import { type ChatTarget, chatTarget } from "../chat-target.ts";
import { failureOf } from "../failure.ts";
import type { CliIo } from "../io.ts";
import { tellFailure } from "../output.ts";
import { plain } from "../plain.ts";
import { cancelled, readPiped } from "../secret-input.ts";
import { run, type Session, withCommonOptions } from "../session.ts";
import type { CommonOptions } from "../settings.ts";
import { parsePositive } from "./numbers.ts";

/** Longest question that is read from a pipe. */
const QUESTION_BYTES_MAX = 4 * 1_024 * 1_024;
const TEMPERATURE_MAX = 2;

interface Options extends CommonOptions {
  readonly message?: string;
  readonly system?: string;
  readonly maxTokens?: number;
  readonly temperature?: number;
}

export function addChat(program: Command, io: CliIo): void {
  withCommonOptions(
    program.command("chat").description("talk to a model; with --message or a pipe, ask once"),
  )
    .argument("<model>", "id or name of a model of yours, or a name of the catalogue")
    .option("-m, --message <text>", "ask this and print the answer")
    .option("--system <text>", "instructions that come first")
    .option("--max-tokens <count>", "longest answer", parsePositive)
    .option("--temperature <number>", "0 for the likeliest words", parseTemperature)
    .action((name: string, options: Options) =>
      run(io, options, (session) => chat(session, name, options), { tokenless: true }),
    );
}

async function chat(session: Session, name: string, options: Options): Promise<void> {
  const target = await chatTarget(session, name);
  const system: ChatMessage[] =
    options.system === undefined ? [] : [{ role: "system", content: options.system }];
  const question =
    options.message ?? (session.io.isTty.stdin ? undefined : await readPiped(session.io, QUESTION_BYTES_MAX));
  if (question === undefined) return converse(session, target, system, options);
  if (question.trim() === "") {
    throw invalidArgument([{ field: "--message", description: "ask something: there is no question" }]);
  }
  await askOnce(session, target, [...system, { role: "user", content: question }], options);
}

async function askOnce(
  session: Session,
  target: ChatTarget,
  messages: readonly ChatMessage[],
  options: Options,
): Promise<void> {
  const { io, output } = session;
  const show = output.format === "text" ? (text: string) => void io.stdout.write(plain(text)) : () => {};
  const answer = await streamChat(io, target, messages, chatOptions(options), io.interrupted, show);
  const { content, finishReason, requestId, usage } = answer;
  const json = { model: target.model, content, finishReason, requestId, usage: usage ? { ...usage } : null };
  output.value(json, () => "\n");
  if (output.format === "text") io.stderr.write(footer(usage, finishReason, requestId));
}

/** A conversation: each question with all that was said before. Ctrl-C stops an answer, and at a question the program. */
async function converse(
  session: Session,
  target: ChatTarget,
  system: readonly ChatMessage[],
  options: Options,
): Promise<void> {
  const { io } = session;
  io.stderr.write(
    `Talking to ${plain(target.model)}. /reset forgets, /exit leaves, Ctrl-C stops an answer.\n`,
  );
  const lines = createInterface({ input: io.stdin, output: io.stderr, terminal: io.isTty.stderr });
  let said: ChatMessage[] = [...system];
  try {
    for (;;) {
      const question = await nextQuestion(lines);
      if (question === undefined || question === "/exit") return;
      if (question === "/reset") said = [...system];
      if (question === "" || question.startsWith("/")) continue;
      const asked: ChatMessage[] = [...said, { role: "user", content: question }];
      const answer = await answered(session, target, asked, options, lines);
      if (answer !== undefined) said = [...asked, { role: "assistant", content: answer }];
    }
  } finally {
    lines.close();
  }
}

type Lines = ReturnType<typeof createInterface>;

/** Undefined at the end of the input, and when the user leaves. */
async function nextQuestion(lines: Lines): Promise<string | undefined> {
  const left = new AbortController();
  const leave = () => left.abort();
  lines.once("SIGINT", leave);
  lines.once("close", leave);
  try {
    return (await lines.question("> ", { signal: left.signal })).trim();
  } catch {
    return undefined;
  } finally {
    lines.off("SIGINT", leave);
    lines.off("close", leave);
  }
}

/** Prints an answer; undefined where there is none to remember. A failure is told and the conversation goes on. */
async function answered(
  session: Session,
  target: ChatTarget,
  messages: readonly ChatMessage[],
  options: Options,
  lines: Lines,
): Promise<string | undefined> {
  const { io } = session;
  const stopped = new AbortController();
  const stop = () => stopped.abort(cancelled());
  const show = (text: string) => void io.stdout.write(plain(text));
  lines.on("SIGINT", stop);
  try {
    const signal = AbortSignal.any([stopped.signal, io.interrupted]);
    const answer = await streamChat(io, target, messages, chatOptions(options), signal, show);
    io.stdout.write("\n");
    io.stderr.write(footer(answer.usage, answer.finishReason, answer.requestId));
    return answer.content;
  } catch (error) {
    io.stdout.write("\n");
    if (io.interrupted.aborted) throw error;
    if (!stopped.signal.aborted) tellFailure(io, "text", failureOf(error));
    return undefined;
  } finally {
    lines.off("SIGINT", stop);
  }
}

function footer(usage: Usage | undefined, finishReason: string, requestId: string): string {
  const counted = usage
    ? `${usage.promptTokens} prompt tokens, ${usage.cachedTokens} of them cached; ${usage.completionTokens} answered`
    : "tokens are not known";
  const cut = finishReason === "length" ? "; cut at the limit, raise --max-tokens" : "";
  return plain(`[${counted}${cut}${requestId === "" ? "" : `; receipt ${requestId}`}]\n`);
}

function chatOptions(options: Options): ChatOptions {
  return { maxTokens: options.maxTokens, temperature: options.temperature };
}

function parseTemperature(text: string): number {
  const value = Number(text);
  if (text !== "" && Number.isFinite(value) && value >= 0 && value <= TEMPERATURE_MAX) return value;
  throw new InvalidArgumentError(`Give a number from 0 to ${TEMPERATURE_MAX}.`);
}
