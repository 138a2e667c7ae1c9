import { noSteps, STEPS, type Step, type Steps } from "../base/steps.ts";

/**
 * For crash tests: `SLIPWAY_KILL_AT=step[:n]` ends the process by SIGKILL when it reaches the step for the n-th time (1 by
 * default), as a power cut would. Without it nothing happens at any step.
 */
export function stepsFrom(killAt: string | undefined): Steps {
  if (!killAt) return noSteps;
  const [name, count = "1"] = killAt.split(":");
  if (!STEPS.some((step: Step) => step === name)) throw new Error(`SLIPWAY_KILL_AT names no step: ${name}`);
  let left = Number(count);
  return {
    reach(step) {
      if (step === name && --left === 0) process.kill(process.pid, "SIGKILL");
    },
  };
}
