/** The guides say what the code says: reasons, settings, commands, links, and nothing about the machine that they were written on. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { ConditionReason } from "../gen/slipway/common/v1/condition_pb.js";
import { ACTIONS } from "../src/audit/index.ts";
import { systemClock } from "../src/base/clock.ts";
import { systemRandom } from "../src/base/random.ts";
import { REASONS, StatusError } from "../src/base/status.ts";
import { addWireCommands, type CliIo } from "../src/cli/index.ts";
import { llamaCpp } from "../src/engines/llama-cpp/index.ts";
import { vllm } from "../src/engines/vllm/index.ts";
import { failureOf } from "../src/gateway/openai-error.ts";
import { configReference } from "../src/main/config-reference.ts";
import { isConditionReason, nextStepOf } from "../src/models/reasons.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
/** As committed, for whoever cloned; what somebody is just writing is not looked at. */
const TRACKED = execFileSync("git", ["ls-files", "-z"], { cwd: ROOT, encoding: "utf8" })
  .split("\0")
  .filter((path) => path !== "" && existsSync(join(ROOT, path)));
const GUIDES = TRACKED.filter((path) => path.endsWith(".md"));

test("every reason of an error has its row with the way out", () => {
  const guide = section(read("docs/guides/errors.md"), "## Control plane");
  for (const reason of REASONS) {
    const cells = rowOf(guide, reason);
    assert.equal(cells.length, 4, `${reason} has a row of four cells`);
    assert.ok(
      cells.every((cell) => cell !== ""),
      `${reason} has an empty cell`,
    );
  }
});

test("every action of the audit log is told to operators in its own words", () => {
  const guide = section(read("docs/guides/operators.md"), "## Audit log");
  for (const [action, sentence] of Object.entries(ACTIONS))
    assert.deepEqual(rowOf(guide, action)[1], sentence);
});

test("the guide's table of the gateway's errors is the gateway's own", () => {
  const guide = section(read("docs/guides/errors.md"), "## Gateway");
  for (const reason of REASONS) {
    const failure = failureOf(new StatusError({ code: "INTERNAL", reason, message: "" }));
    const [code, status, type, told = ""] = rowOf(guide, failure.code);
    assert.deepEqual(
      [code, status, type],
      [`\`${failure.code}\``, String(failure.status), `\`${failure.type}\``],
    );
    if (failure.code !== "internal")
      assert.ok(told.includes(`\`${reason}\``), `${reason} at ${failure.code}`);
  }
});

test("every condition of a model is told with the next step that the model itself tells", () => {
  const guide = section(read("docs/guides/errors.md"), "## A model's condition");
  const reasons = Object.values(ConditionReason).filter((name) => typeof name === "string");
  for (const reason of reasons) {
    if (reason === "UNSPECIFIED") continue;
    assert.ok(isConditionReason(reason), `${reason} is known to the models`);
    assert.equal(rowOf(guide, reason)[2], nextStepOf(reason));
  }
});

test("the configuration guide is what the schema prints", () => {
  const guide = read("docs/guides/configuration.md");
  const shown = /<!-- config:begin -->\n([\s\S]*?)\n<!-- config:end -->/.exec(guide)?.[1];
  assert.equal(shown, configReference(), "put the output of `slipway config` between the markers");
});

test("every modelSpec key of each engine is told", () => {
  const guide = read("docs/guides/model-spec.md");
  const keysUnder = (heading: string) =>
    [...section(guide, heading).matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1]);
  const engines = [
    [llamaCpp, "## llama.cpp (GGUF weights, replicas on CPUs)"],
    [vllm, "## vLLM (safetensors weights, replicas on GPUs or CPUs)"],
  ] as const;
  for (const [{ specKeys }, heading] of engines) {
    assert.deepEqual(
      keysUnder(heading),
      specKeys.map(({ name }) => name),
    );
    for (const key of specKeys) assert.equal(rowOf(section(guide, heading), key.name).length, 5, key.name);
  }
});

test("every relative link leads somewhere", () => {
  const broken = GUIDES.flatMap((path) =>
    linksOf(read(path))
      .filter((link) => !leads(path, link))
      .map((link) => `${path}: ${link}`),
  );
  assert.deepEqual(broken, []);
});

test("every command that the documents show exists, with its options", async () => {
  const program = await wholeProgram();
  const shown = GUIDES.flatMap((path) => commandsOf(read(path)).map((line) => ({ path, line })));
  assert.ok(shown.length > 30, "the documents show commands");
  const wrong = shown.flatMap(({ path, line }) => {
    const problem = problemOf(program, wordsOf(line));
    return problem === undefined ? [] : [`${path}: slipway ${line}: ${problem}`];
  });
  assert.deepEqual(wrong, []);
});

test("no committed file names a folder of the machine that it was made on, or a package registry", () => {
  const folder = (name: string) => `(?<![\\w.~-])/${name}/`;
  const hosts = [
    "registry\\.npmjs\\.org",
    "registry\\.yarnpkg\\.com",
    "pypi\\.org/simple",
    "pythonhosted\\.org",
  ];
  const traces = new RegExp([...["work", "root", "home/\\w+", "Users/\\w+"].map(folder), ...hosts].join("|"));
  const found = TRACKED.filter((path) => path !== relative(ROOT, fileURLToPath(import.meta.url))).flatMap(
    (path) => {
      const trace = traces.exec(read(path))?.[0];
      return trace === undefined ? [] : [`${path}: ${trace}`];
    },
  );
  assert.deepEqual(found, []);
  for (const lock of TRACKED.filter((path) => path.endsWith("package-lock.json")))
    assert.ok(!read(lock).includes('"resolved"'), `${lock} leaves the choice of registry to npm`);
});

/** From a heading to the next one of its level. */
function section(markdown: string, heading: string): string {
  const start = markdown.indexOf(`\n${heading}\n`);
  assert.notEqual(start, -1, heading);
  const rest = markdown.slice(start + heading.length + 2);
  const end = rest.search(new RegExp(`^${heading.split(" ")[0]} `, "m"));
  return end < 0 ? rest : rest.slice(0, end);
}

/** Cells of the table row whose first cell is this word as code. */
function rowOf(markdown: string, word: string): readonly string[] {
  const row = markdown.split("\n").find((line) => line.startsWith(`| \`${word}\` |`));
  assert.ok(row, `there is a row for ${word}`);
  return row
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

function linksOf(markdown: string): readonly string[] {
  const prose = markdown.replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? "");
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}

function leads(from: string, link: string): boolean {
  const [path = "", anchor] = link.split("#");
  const target = path === "" ? from : relative(ROOT, resolve(ROOT, dirname(from), path));
  if (!existsSync(join(ROOT, target))) return false;
  return anchor === undefined || headingsOf(read(target)).includes(anchor);
}

/** Anchors of a document's headings, as GitHub makes them. */
function headingsOf(markdown: string): readonly string[] {
  const headings = markdown.replace(/^```[\s\S]*?^```/gm, "").matchAll(/^#+ (.*)$/gm);
  return [...headings].map((match) =>
    (match[1] ?? "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** What follows `slipway` in code, fenced or inline, up to the end of the command. */
function commandsOf(markdown: string): readonly string[] {
  const fenced = [...markdown.matchAll(/^```[\s\S]*?^```/gm)].map((match) => match[0]);
  const inline = [...markdown.replace(/^```[\s\S]*?^```/gm, "").matchAll(/`([^`\n]+)`/g)].map(
    (match) => match[1],
  );
  const code = [...fenced, ...inline].join("\n").replace(/\\\n\s*/g, " ");
  const lines = code.matchAll(/(?<![\w./@=-])slipway ([a-z](?:<[^>\n]*>|[^\n|;<>&#`])*)/g);
  return [...lines].map((match) => (match[1] ?? "").trim());
}

/** A command line's words; what stands in quotes is one. */
function wordsOf(line: string): readonly string[] {
  return [...line.matchAll(/"[^"]*"|'[^']*'|<[^>]*>|\S+/g)].map((match) => match[0]);
}

/** What is wrong with the words as arguments of the program; undefined when nothing is. */
function problemOf(program: Command, words: readonly string[]): string | undefined {
  let command = program;
  let at = 0;
  for (; at < words.length; at++) {
    const next = command.commands.find((one) => one.name() === words[at]);
    if (!next) break;
    command = next;
  }
  if (at === 0) return "no such command";
  const rest = argumentsOf(command, words.slice(at));
  if (typeof rest === "string") return rest;
  const group = command.commands.length > 0;
  if (group && rest.length > 0) return `${command.name()} has no ${rest[0]}`;
  const takes = command.registeredArguments;
  const tooMany = !takes.at(-1)?.variadic && rest.length > takes.length;
  return tooMany ? `${command.name()} takes ${takes.length} arguments` : undefined;
}

/** The words that are no options; or which option is unknown. */
function argumentsOf(command: Command, words: readonly string[]): readonly string[] | string {
  // A group may have a default command, whose options it takes.
  const known = [command, ...command.commands].flatMap((one) => one.options);
  const rest: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "…") continue;
    if (!word.startsWith("-") || word === "-") {
      rest.push(word);
      continue;
    }
    const name = word.split("=")[0];
    const option = known.find((one) => name === one.long || name === one.short);
    if (!option && word !== "--help") return `${command.name()} has no option ${word}`;
    if (option && (option.required || option.optional) && !word.includes("=")) at++;
  }
  return rest;
}

/** Every command of the program, as src/main/cli.ts puts it together. */
async function wholeProgram(): Promise<Command> {
  const { addHostCommands } = await import("../src/main/host-commands.ts");
  const program = new Command("slipway").enablePositionalOptions();
  addHostCommands(program);
  addWireCommands(program, nowhere());
  return program;
}

/** Commands are looked at, never run. */
function nowhere(): CliIo {
  return {
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    isTty: { stdin: false, stdout: false, stderr: false },
    env: {},
    configDir: "",
    installationDir: "",
    fetch,
    openBrowser: async () => false,
    clock: systemClock,
    random: systemRandom,
    interrupted: new AbortController().signal,
    exit: (status) => {
      throw new Error(`exit ${status}`);
    },
  };
}
