import { generateKeyPairSync } from "node:crypto";
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { ReplicaSpec } from "../driver.ts";
import type { LaunchOrder } from "./api.ts";
import type { LambdaHardware } from "./hardware.ts";
import { instanceName } from "./instance-name.ts";
import { ofReplica } from "./look.ts";
import { machineToken, tokenHash } from "./machine-token.ts";
import { hardwareSoon } from "./offers.ts";
import type { Launched } from "./options.ts";
import type { DriverState } from "./state.ts";
import { userData } from "./user-data.ts";

/** The key of machines that nobody logs in to: its private half was thrown away when it was made. */
const NO_LOGIN = "slipway-no-login";

/**
 * Has a machine launched under the replica's name, alone in the account, after one more look whether it is there. Throws
 * CAPACITY_SHORT, CONFIG_INVALID or PLACE_UNAVAILABLE; UNAVAILABLE where nobody knows whether a machine was made.
 */
export async function launch(ctx: BaseCtx, state: DriverState, spec: ReplicaSpec): Promise<void> {
  const hardware = await chooseHardware(ctx, state, spec);
  const order = await launchOrder(ctx, state, spec, hardware);
  const outcome = await state.options.gate.run(ctx, spec.name, () => launchNow(ctx, state, spec, order));
  if (typeof outcome === "object") throw outcome.refused;
  if (outcome === "launched") state.steps.reach("lambda.recorded");
}

async function launchNow(
  ctx: BaseCtx,
  state: DriverState,
  spec: ReplicaSpec,
  order: LaunchOrder,
): Promise<Launched> {
  const look = await state.look(ctx, 0).catch((error: unknown) => StatusError.from(error));
  // Without having looked nothing is launched.
  if (look instanceof StatusError) return { refused: look };
  if (ofReplica(look, spec.name).length > 0) return "found";
  try {
    await state.api.launch(ctx, { ...order, name: nameNow(ctx, spec) });
    return "launched";
  } catch (error) {
    if (!(error instanceof StatusError) || error.code === "UNAVAILABLE")
      return foundOr(ctx, state, spec, error);
    // Somebody may have taken the key away.
    if (error.reason === "CONFIG_INVALID" || error.code === "NOT_FOUND") state.known.noLoginKey = false;
    return { refused: asLaunchRefusal(error) };
  }
}

/** After an unclear answer: what is there was launched; else it may come yet, and the caller is told that nobody knows. */
async function foundOr(
  ctx: BaseCtx,
  state: DriverState,
  spec: ReplicaSpec,
  unclear: unknown,
): Promise<Launched> {
  const look = await state.look(ctx, 0).catch(() => undefined);
  if (look && ofReplica(look, spec.name).length > 0) return "launched";
  throw unclear;
}

/** A limit of pace is the place's matter: another attempt comes by itself. */
function asLaunchRefusal(error: StatusError): StatusError {
  if (error.reason !== "RATE_LIMITED") return error;
  return new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "PLACE_UNAVAILABLE",
    message: error.message,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  });
}

function nameNow(ctx: BaseCtx, spec: ReplicaSpec): string {
  return instanceName({ replica: spec.name, launchedAt: ctx.clock.now() });
}

/**
 * The cheapest type that has what was planned and has room there. Lambda's list of room spares a launch that would be refused; where it
 * is wrong, the launch says so.
 */
async function chooseHardware(
  ctx: BaseCtx,
  state: DriverState,
  { gpuType, gpuCount, gpuMemoryBytes, region, plan }: ReplicaSpec,
): Promise<LambdaHardware> {
  const all = await hardwareSoon(ctx, state);
  const kind = all.filter((one) => gpuType === "UNSPECIFIED" || one.gpuType === gpuType);
  const fitting = kind.filter(
    (one) => one.gpuCount === gpuCount && one.gpuMemoryBytes >= (gpuMemoryBytes ?? plan.memoryBytes),
  );
  if (fitting.length === 0) throw noSuchType(gpuType, gpuCount, kind);
  const [cheapest] = fitting
    .filter((one) => one.regions.includes(region))
    .sort((a, b) => a.centsPerHour - b.centsPerHour);
  if (cheapest) return cheapest;
  throw new StatusError({
    code: "RESOURCE_EXHAUSTED",
    reason: "CAPACITY_SHORT",
    message: `Lambda has no ${fitting.map((one) => one.instanceType).join(" or ")} free in ${region} at the moment.`,
  });
}

function noSuchType(gpuType: string, gpuCount: number, kind: readonly LambdaHardware[]): StatusError {
  const counts = [...new Set(kind.map((one) => one.gpuCount))].sort((a, b) => a - b);
  const has =
    counts.length === 0 ? "It rents out none of them." : `It has machines with ${counts.join(", ")}.`;
  return new StatusError({
    code: "FAILED_PRECONDITION",
    reason: counts.includes(gpuCount) ? "MODEL_TOO_LARGE" : "GPU_COUNT_INVALID",
    message: `Lambda has no machine of ${gpuCount} × ${gpuType} with the memory that was planned. ${has}`,
  });
}

async function launchOrder(
  ctx: BaseCtx,
  state: DriverState,
  spec: ReplicaSpec,
  hardware: LambdaHardware,
): Promise<LaunchOrder> {
  const { config, machineKey } = state.options;
  const region = config.regions.find((one) => one === spec.region) ?? config.regions[0];
  const fileSystem = region && config.fileSystems[region];
  const rulesets = (region && config.firewallRulesets[region]) ?? [];
  const boot = {
    name: spec.name,
    tokenHash: tokenHash(machineToken(machineKey, spec.name)),
    gpuCount: hardware.gpuCount,
    gpuCheckMs: state.times.gpuCheckMs,
    mountPoint:
      fileSystem === undefined ? undefined : await mountPointOf(ctx, state, spec.region, fileSystem),
  };
  return {
    region_name: spec.region,
    instance_type_name: hardware.instanceType,
    ssh_key_names: [await keyName(ctx, state)],
    name: "",
    user_data: await userData(config, boot),
    ...(fileSystem === undefined ? {} : { file_system_names: [fileSystem] }),
    ...(config.image === undefined ? {} : { image: config.image }),
    ...(rulesets.length === 0 ? {} : { firewall_rulesets: rulesets.map((id) => ({ id })) }),
  };
}

async function mountPointOf(
  ctx: BaseCtx,
  { api }: DriverState,
  region: string,
  name: string,
): Promise<string> {
  const found = (await api.fileSystems(ctx)).find((one) => one.name === name && one.region.name === region);
  if (found) return found.mount_point;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "CONFIG_INVALID",
    message: `lambda.fileSystems: there is no file system ${name} in ${region}. Make it in Lambda's dashboard, or take it out.`,
  });
}

/** The operator's key, or one that opens nothing: Lambda wants exactly one. */
async function keyName(ctx: BaseCtx, { api, options, known }: DriverState): Promise<string> {
  if (options.config.sshKey !== undefined) return options.config.sshKey;
  if (known.noLoginKey) return NO_LOGIN;
  if (!(await api.sshKeys(ctx)).includes(NO_LOGIN)) await api.addSshKey(ctx, NO_LOGIN, keyForNobody());
  known.noLoginKey = true;
  return NO_LOGIN;
}

/** In the form of ~/.ssh/*.pub. */
function keyForNobody(): string {
  const { publicKey } = generateKeyPairSync("ed25519");
  const { x = "" } = publicKey.export({ format: "jwk" });
  const parts = [Buffer.from("ssh-ed25519"), Buffer.from(x, "base64url")];
  const blob = Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, part];
    }),
  );
  return `ssh-ed25519 ${blob.toString("base64")} ${NO_LOGIN}`;
}
