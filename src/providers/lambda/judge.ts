/** What is seen of a machine, in words. Pure. */
import { REASONS, type Reason } from "../../base/status.ts";
import type { ReplicaFailure, ReplicaObservation } from "../driver.ts";
import { failureEvent, parseLine, TELLING, toldFailure } from "../engine-words.ts";
import { redact } from "../redact.ts";
import { isRetryable } from "../retryable.ts";
import type { Ours } from "./look.ts";
import type { MachineAt, MachineReport } from "./machine-client.ts";
import type { LambdaDriverOptions } from "./options.ts";

export type Doing = Omit<ReplicaObservation, "name" | "at">;

/** From `active` to an agent that answers, cloud-init takes a minute or two. */
const AGENT_MS = 15 * 60_000;

/** Of a machine that has not answered (yet). How long it may take is the deadline of who waits. */
export function judgeSilent({ instance, launchedAt }: Ours, now: Date): Doing {
  const ageMs = now.getTime() - launchedAt.getTime();
  const since = `for ${Math.max(0, Math.round(ageMs / 60_000))} min`;
  switch (instance.status) {
    case "booting":
      return {
        phase: "provisioning",
        detail: `Lambda boots ${instance.instance_type.name} in ${instance.region.name} ${since}; one with 8 GPUs can take 25 min`,
      };
    case "terminating":
      return { phase: "up", detail: "its machine is being given back" };
    case "unhealthy":
      if (ageMs < AGENT_MS) break;
      return gone("ENGINE_FAILED", "Lambda calls the machine unhealthy, and it does not answer.");
    default:
  }
  if (ageMs < AGENT_MS) {
    return {
      phase: "provisioning",
      detail: `the machine is ${instance.status}; its agent does not answer yet`,
    };
  }
  return {
    phase: "unknown",
    detail: "its agent does not answer. Do Lambda's firewall rules let in lambda.port?",
  };
}

export function judge(options: LambdaDriverOptions, at: MachineAt, report: MachineReport): Doing {
  switch (report.phase) {
    case "checking":
      return { phase: "provisioning", detail: report.detail };
    case "waiting":
      return { phase: "provisioning", detail: "waiting for a worker" };
    case "preparing": {
      const { progress, detail } = report;
      return progress ? { phase: "loading", detail, progress } : { phase: "loading", detail };
    }
    case "starting":
      return { phase: "loading", detail: progressIn(options, report.lines) ?? "starting the engine" };
    case "up":
      return report.healthy
        ? { phase: "up", address: { host: at.host, port: at.port, certificateSha256: at.certificateSha256 } }
        : { phase: "unknown", detail: "the engine does not answer /health" };
    case "draining":
      return { phase: "up", detail: "finishing its streams" };
    case "ended":
    case "failed":
      return { phase: "gone", failure: failureOf(options, report) };
  }
}

function progressIn({ vllm }: LambdaDriverOptions, lines: readonly string[]): string | undefined {
  for (const line of lines.toReversed()) {
    const event = vllm.engine.readLog?.(line);
    if (event?.kind === "progress") return event.detail;
  }
  return undefined;
}

/** The engine's own reason before what is seen from outside. */
function failureOf(
  { vllm }: LambdaDriverOptions,
  { failure, exitCode, lines }: MachineReport,
): ReplicaFailure {
  if (failure) return failed(reasonOf(failure.reason), redact(failure.message, ""));
  const told = failureEvent(lines, "") ?? vllm.failureOf(lines);
  if (told) return toldFailure(told, "");
  const said = lines.findLast((line) => TELLING.test(line) && parseLine(line) === undefined);
  const words = said === undefined ? "" : ` It last said: ${redact(said, "")}`;
  return failed("ENGINE_FAILED", `${endingOf(exitCode)}${words}`);
}

function endingOf(exitCode: number | null): string {
  if (exitCode === null || exitCode < 0) return "The engine's container is gone.";
  if (exitCode === 137) return "The engine was ended by SIGKILL; the system does so when memory runs out.";
  if (exitCode > 128) return `The engine was ended by signal ${exitCode - 128}.`;
  return `The engine ended by itself with status ${exitCode}.`;
}

function reasonOf(text: string): Reason {
  return REASONS.find((reason) => reason === text) ?? "ENGINE_FAILED";
}

function failed(reason: Reason, message: string): ReplicaFailure {
  return { reason, message, retryable: isRetryable(reason) };
}

function gone(reason: Reason, message: string): Doing {
  return { phase: "gone", failure: failed(reason, message) };
}
