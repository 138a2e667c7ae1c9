import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { ReplicaName } from "../driver.ts";
import { linesIn } from "../log-lines.ts";
import { redact } from "../redact.ts";
import { newest } from "./judge.ts";
import { ofReplicas } from "./labels.ts";
import { engineKeyOf } from "./last-words.ts";
import { PODS } from "./look.ts";
import { ENGINE, FETCH } from "./pod.ts";
import type { Pod } from "./seen.ts";
import type { DriverState } from "./state.ts";

const TAIL_LINES_MAX = 10_000;

/**
 * Lines of the engine, or of the download of its weights while that runs; with follow until its container ends or the signal
 * aborts. Throws LOGS_UNAVAILABLE when the cluster has none: it keeps a log no longer than the pod.
 */
export async function* logs(
  ctx: BaseCtx,
  state: DriverState,
  name: ReplicaName,
  options: { readonly tailLines: number; readonly follow: boolean },
): AsyncIterable<string> {
  const pod = newest(await state.api.list(ctx, { ...PODS, selector: ofReplicas([name]) }));
  if (!pod) throw unavailable(name);
  const { container, previous } = sourceOf(pod);
  const query = {
    container,
    tailLines: String(Math.min(Math.max(0, options.tailLines), TAIL_LINES_MAX)),
    ...(options.follow ? { follow: "true" } : {}),
    ...(previous ? { previous: "true" } : {}),
  };
  const body = await state.api.log(ctx, pod.metadata.name, query).catch((error: unknown) => {
    // A container that was not started yet has no log, and the API server calls that a bad request.
    if (error instanceof StatusError && error.reason === "CONFIG_INVALID") throw unavailable(name);
    throw error;
  });
  const engineKey = await engineKeyOf(ctx, state, name);
  try {
    for await (const line of linesIn(body)) yield redact(line, engineKey);
  } catch (error) {
    if (!ctx.signal?.aborted) throw error;
  }
}

function sourceOf(pod: Pod): { readonly container: string; readonly previous: boolean } {
  const fetch = pod.status.initContainerStatuses.find((one) => one.name === FETCH);
  if (fetch && fetch.state.terminated?.exitCode !== 0) return { container: FETCH, previous: false };
  const engine = pod.status.containerStatuses.find((one) => one.name === ENGINE);
  return {
    container: ENGINE,
    previous: engine?.state.running !== undefined && engine.lastState.terminated !== undefined,
  };
}

function unavailable(name: ReplicaName): StatusError {
  return new StatusError({
    code: "NOT_FOUND",
    reason: "LOGS_UNAVAILABLE",
    message: `There is no log of replica ${name}: its engine has not started, or its pod is gone.`,
  });
}
