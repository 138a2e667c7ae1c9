import type { BaseCtx } from "../../base/ctx.ts";
import type { Ours } from "./look.ts";
import { type MachineAt, proveMachine } from "./machine-client.ts";
import { machineToken } from "./machine-token.ts";
import type { DriverState } from "./state.ts";

/** Instances that this process remembers; a fleet of some thousand is beyond any account. */
const REMEMBERED_MAX = 5_000;

/** The agent of an instance, proven. Undefined while the instance has no address. Throws as `proveMachine` does. */
export async function machineOf(
  ctx: BaseCtx,
  { options, proven, measured }: DriverState,
  { instance, replica }: Ours,
): Promise<MachineAt | undefined> {
  if (!instance.ip) return undefined;
  const known = proven.get(instance.id);
  if (known?.host === instance.ip) return known;
  const token = machineToken(options.machineKey, replica);
  const found = await proveMachine(ctx, { host: instance.ip, port: options.config.port, token });
  if (proven.size >= REMEMBERED_MAX) {
    proven.clear();
    measured.clear();
  }
  proven.set(instance.id, found);
  return found;
}
