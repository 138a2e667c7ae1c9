import { type Command, InvalidArgumentError } from "commander";
import { systemClock } from "../base/clock.ts";
import type { BaseCtx } from "../base/ctx.ts";
import { createLog, silentLog } from "../base/log.ts";
import { systemRandom } from "../base/random.ts";
import { StatusError } from "../base/status.ts";
import { type Config, loadConfig } from "./config.ts";
import { configReference } from "./config-reference.ts";
import type { Finding } from "./doctor.ts";
import { ROLES, type RoleName } from "./roles.ts";
import { stopSignal } from "./stop-signal.ts";

// What a command runs is loaded by the command: `slipway whoami` needs no server, and should not wait for one to load.

/** Exit status of a failure; the wire commands refine it (see the command line's guide). */
const FAILED = 1;
/** Of one reconciliation; longer spans are several. */
const DAYS_MAX = 400;
/** Of one proof: a night's worth. */
const HISTORIES_MAX = 1_000_000;
const PROVE_SECONDS_MAX = 86_400;

/** Adds the commands that work on this host: on its home, its database, its processes. */
export function addHostCommands(program: Command): void {
  program
    .command("serve")
    .description(
      "serve an installation until SIGINT or SIGTERM; prints one line `listening {…}` when it does",
    )
    .option("--role <role>", `one of ${[...ROLES, "all"].join(", ")}; several with commas`, "all")
    .action((options: { role: string }) => guarded(() => serveUntilStopped(rolesOf(options.role))));
  program
    .command("up")
    .description(
      "serve on this machine and run the main job: first users, a starter model, one question, its receipt",
    )
    .option("--exit", "stop after the main job", false)
    .option("--model <id-or-file>", "deploy this instead of the default starter")
    .action((options: { exit: boolean; model?: string }) => guarded(() => runUp(options)));
  program
    .command("doctor")
    .description("look at what this installation needs, and say what is wrong")
    .option("--provider <name>", "only the places of this provider: onprem, nebius, lambda, yotta")
    .option("--output <format>", "text or json", "text")
    .action((options: { output: string; provider?: string }) =>
      guarded(() => runDoctor(options.output === "json", options.provider)),
    );
  program
    .command("migrate")
    .description("bring the database's schema up to date, and end")
    .action(() => guarded(runMigrate));
  program
    .command("config")
    .description("print the configuration reference")
    .action(() => {
      process.stdout.write(`${configReference()}\n`);
    });
  subcommand(program, "kubernetes", "clusters that replicas run in")
    .command("rbac")
    .description(
      "print the account and the rights that Slipway needs in a namespace, to be applied by an administrator",
    )
    .requiredOption("--namespace <name>", "where replicas are to run")
    .option("--account <name>", "name of the service account", "slipway")
    .action((options: { namespace: string; account: string }) => guarded(() => printRights(options)));
  subcommand(program, "admin", "administration")
    .command("bootstrap")
    .description("on the host: make an administrator, and print its access token once")
    .option("--name <name>", "display name", "Administrator")
    .action((options: { name: string }) => guarded(() => runBootstrap(options.name)));
  subcommand(subcommand(program, "admin", "administration"), "billing", "the books")
    .command("reconcile")
    .description(
      "on the host: compare the ledger with the payment processor, book what was missed, explain the rest",
    )
    .option("--days <n>", "how far back", wholeNumber(1, DAYS_MAX), 7)
    .option("--output <format>", "text or json", "text")
    .action((options: { days: number; output: string }) => guarded(() => runReconcile(options)));
  subcommand(program, "ledger", "the books of this installation")
    .command("check")
    .description(
      "on the host: verify the chain of seals, make every balance and sum anew, look for unmatched holds",
    )
    .option("--expect <seal>", "a seal that an earlier check printed: it must still be there")
    .option("--output <format>", "text or json", "text")
    .action((options: { expect?: string; output: string }) => guarded(() => runLedgerCheck(options)));
  subcommand(program, "ledger", "the books of this installation")
    .command("prove")
    .description(
      "play histories of crashes, losses and repeats on a database of their own: nobody is served beyond what was paid",
    )
    .option("--histories <n>", "at most so many", wholeNumber(1, HISTORIES_MAX), 100)
    .option("--seconds <n>", "none is begun after so long", wholeNumber(1, PROVE_SECONDS_MAX), 60)
    .option(
      "--seed <n>",
      "the first history's; the others follow",
      wholeNumber(0, Number.MAX_SAFE_INTEGER - HISTORIES_MAX),
    )
    .option("--output <format>", "text or json", "text")
    .action((options: ProveOptions) => guarded(() => runLedgerProve(options)));
}

/** The subcommand of that name, made if the program has none yet. */
function subcommand(program: Command, name: string, description: string): Command {
  return (
    program.commands.find((one) => one.name() === name) ?? program.command(name).description(description)
  );
}

function rolesOf(text: string): readonly RoleName[] {
  if (text === "all") return ROLES;
  const names = text.split(",");
  const roles = ROLES.filter((role) => names.includes(role));
  if (roles.length === names.length) return roles;
  throw new StatusError({
    code: "INVALID_ARGUMENT",
    reason: "CONFIG_INVALID",
    message: `--role ${text}: give some of ${ROLES.join(", ")}, or all.`,
  });
}

function baseCtx(config: Config, logFile?: string): BaseCtx {
  const log = createLog({
    name: "slipway",
    level: config.SLIPWAY_LOG_LEVEL,
    ...(logFile === undefined ? {} : { file: logFile }),
  });
  return { clock: systemClock, random: systemRandom, log };
}

async function serveUntilStopped(roles: readonly RoleName[]): Promise<void> {
  const { openInstallation } = await import("./installation.ts");
  const { serve } = await import("./serve.ts");
  const stop = stopSignal();
  const config = loadConfig(process.env);
  const installation = await openInstallation(config, baseCtx(config));
  try {
    const serving = await serve(installation, roles, { killAt: process.env.SLIPWAY_KILL_AT });
    process.stdout.write(
      `listening ${JSON.stringify({ apiUrl: serving.apiUrl, gatewayUrl: serving.gatewayUrl })}\n`,
    );
    if (!stop.aborted) {
      await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
    }
    await serving.close();
  } finally {
    await installation.close();
  }
}

async function runUp(options: { exit: boolean; model?: string }): Promise<void> {
  const { up } = await import("./quickstart/up.ts");
  const { terminalOf } = await import("./quickstart/terminal.ts");
  const stop = stopSignal();
  const config = loadConfig({ SLIPWAY_PAYMENTS: "test", ...process.env });
  const base = baseCtx(config, `${config.SLIPWAY_HOME}/slipway.log`);
  const wanted = options.model ?? config.SLIPWAY_STARTER_MODEL;
  await up(base, { config, terminal: terminalOf(process.stdout), exit: options.exit, wanted, stop });
}

/** Opening brings the schema up to date. */
async function runMigrate(): Promise<void> {
  const { openInstallation } = await import("./installation.ts");
  const config = loadConfig(process.env);
  const installation = await openInstallation(config, baseCtx(config), { beside: true });
  await installation.close();
}

async function runDoctor(json: boolean, provider: string | undefined): Promise<void> {
  const { examine, examineProvider } = await import("./doctor.ts");
  const { openInstallation } = await import("./installation.ts");
  const config = loadConfig(process.env);
  const base = { ...baseCtx({ ...config, SLIPWAY_LOG_LEVEL: "silent" }) };
  const findings =
    provider === undefined
      ? await examine(config, base.clock, () => openInstallation(config, base, { beside: true }))
      : await examineProvider(config, base.clock, provider);
  process.stdout.write(json ? `${JSON.stringify(findings, null, 2)}\n` : findings.map(lineOf).join(""));
  if (findings.some((finding) => finding.verdict === "problem")) process.exitCode = FAILED;
}

/** JSON documents in one list, as kubectl takes them. */
async function printRights(options: { namespace: string; account: string }): Promise<void> {
  const { rbac } = await import("../providers/kubernetes/index.ts");
  const items = rbac(options.namespace, options.account);
  process.stdout.write(`${JSON.stringify({ apiVersion: "v1", kind: "List", items }, null, 2)}\n`);
}

function lineOf(finding: Finding): string {
  const mark = { ok: "ok     ", warning: "warning", problem: "PROBLEM" }[finding.verdict];
  return `${mark}  ${finding.check.padEnd(20)} ${finding.message}\n`;
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (text.trim() !== "" && Number.isInteger(number) && number >= min && number <= max) return number;
    throw new InvalidArgumentError(`give a whole number from ${min} to ${max}`);
  };
}

async function runReconcile(options: { days: number; output: string }): Promise<void> {
  const { openInstallation } = await import("./installation.ts");
  const command = await import("./reconcile-command.ts");
  const { differs } = await import("../billing/index.ts");
  const config = loadConfig(process.env);
  const installation = await openInstallation(config, baseCtx(config), { beside: true });
  try {
    const done = await command.reconcileNow(installation, options.days);
    const json = options.output === "json";
    process.stdout.write(json ? command.reconciliationJson(done) : command.reconciliationText(done));
    if (differs(done)) process.exitCode = FAILED;
  } finally {
    await installation.close();
  }
}

async function runLedgerCheck(options: { expect?: string; output: string }): Promise<void> {
  const { openInstallation } = await import("./installation.ts");
  const command = await import("./ledger-command.ts");
  const config = loadConfig(process.env);
  // What is wrong is told on the screen; the log would only say it a second time.
  const base = baseCtx({ ...config, SLIPWAY_LOG_LEVEL: "silent" });
  const installation = await openInstallation(config, base, { beside: true });
  try {
    const check = await command.checkNow(installation, options.expect);
    process.stdout.write(options.output === "json" ? command.checkJson(check) : command.checkText(check));
    if (check.findings.length > 0) process.exitCode = FAILED;
  } finally {
    await installation.close();
  }
}

interface ProveOptions {
  readonly histories: number;
  readonly seconds: number;
  readonly seed?: number;
  readonly output: string;
}

/** Reads no configuration: what it works on is its own. */
async function runLedgerProve(options: ProveOptions): Promise<void> {
  const command = await import("./prove-command.ts");
  const base = { clock: systemClock, random: systemRandom, log: silentLog };
  const { histories, seconds, seed } = options;
  const proven = await command.proveNow(base, { histories, seconds, seed, stop: stopSignal() });
  process.stdout.write(options.output === "json" ? command.provenJson(proven) : command.provenText(proven));
  if (proven.proof.failed) process.exitCode = FAILED;
}

async function runBootstrap(name: string): Promise<void> {
  const { bootstrapAdmin } = await import("../identity/index.ts");
  const { openInstallation } = await import("./installation.ts");
  const config = loadConfig(process.env);
  const installation = await openInstallation(config, baseCtx(config), { beside: true });
  try {
    const { userId, token } = await bootstrapAdmin(installation.ctx, { name });
    process.stdout.write(`${JSON.stringify({ userId, token })}\n`);
  } finally {
    await installation.close();
  }
}

/** Runs a host command; a failure is told in its public words, and the cause goes to nobody but the log level debug. */
async function guarded(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    const error = StatusError.from(thrown);
    process.stderr.write(`slipway: ${error.message} [${error.reason}]\n`);
    if (error.reason === "INTERNAL" && error.cause instanceof Error)
      process.stderr.write(`${error.cause.stack}\n`);
    process.exitCode = FAILED;
  }
}
