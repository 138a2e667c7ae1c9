/** What `slipway doctor` says of the account. Reads only: nothing is launched, and no key is added. */
import type { BaseCtx } from "../../base/ctx.ts";
import { StatusError } from "../../base/status.ts";
import type { LambdaApi } from "./api.ts";
import type { LambdaConfig } from "./config.ts";
import type { LambdaHardware } from "./hardware.ts";
import { partsOf } from "./instance-name.ts";
import { hardwareNow } from "./offers.ts";
import { isGone } from "./seen.ts";

export interface Finding {
  readonly check: string;
  readonly verdict: "ok" | "warning" | "problem";
  readonly message: string;
}

type Told = Omit<Finding, "check">;

/** Later checks are left out where the key shows that they can say nothing. */
export async function checkAccount(
  ctx: BaseCtx,
  config: LambdaConfig,
  api: LambdaApi,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const look = async (what: string, check: () => Promise<Told>) => {
    const told = await check().catch(
      (error: unknown): Told => ({ verdict: "problem", message: StatusError.from(error).message }),
    );
    findings.push({ check: `lambda: ${what}`, ...told });
    return told.verdict !== "problem";
  };
  if (!(await look("account", () => account(ctx, config, api)))) return findings;
  const hardware = await hardwareNow(ctx, api).catch(() => []);
  for (const region of config.regions) await look(region, async () => room(region, hardware));
  await look("SSH key", () => sshKey(ctx, config, api));
  const { fileSystems, image, firewallRulesets } = config;
  if (Object.keys(fileSystems).length > 0) await look("file systems", () => systems(ctx, config, api));
  if (image) await look("image", () => images(ctx, config, api));
  if (Object.keys(firewallRulesets).length > 0) await look("firewall", () => rulesets(ctx, config, api));
  return findings;
}

async function account(ctx: BaseCtx, { endpoint }: LambdaConfig, api: LambdaApi): Promise<Told> {
  const ours = (await api.instances(ctx)).filter((one) => partsOf(one.name) && !isGone(one));
  // The API tells no quota: the launch beyond it does.
  const message = `${new URL(endpoint).host} takes the key; ${ours.length} machines of Slipway are there. Its quota is told in the dashboard only`;
  return { verdict: "ok", message };
}

/** Types with room, and what Lambda asks for each. */
function room(region: string, hardware: readonly LambdaHardware[]): Told {
  const here = hardware.filter((one) => one.regions.includes(region));
  if (here.length === 0) {
    return {
      verdict: "warning",
      message: "no GPUs that Slipway places models on are free here at the moment",
    };
  }
  const lines = here.map(
    (one) =>
      `${one.gpuCount} × ${one.gpuType} as ${one.instanceType} for ${dollars(one.centsPerHour)} an hour`,
  );
  return { verdict: "ok", message: `free are ${lines.join(", ")}` };
}

function dollars(cents: number): string {
  return `${(cents / 100).toFixed(2)} USD`;
}

async function sshKey(ctx: BaseCtx, config: LambdaConfig, api: LambdaApi): Promise<Told> {
  const { sshKey: name } = config;
  if (name === undefined) return { verdict: "ok", message: "none: nobody can log in to machines" };
  const known = await api.sshKeys(ctx);
  if (known.includes(name))
    return { verdict: "ok", message: `${name} opens machines, and their port 22 is open` };
  return {
    verdict: "problem",
    message: `lambda.sshKey: the account has no key ${name}. It has ${nameAll(known)}`,
  };
}

async function systems(ctx: BaseCtx, config: LambdaConfig, api: LambdaApi): Promise<Told> {
  const found = await api.fileSystems(ctx);
  const absent = Object.entries(config.fileSystems).filter(
    ([region, name]) => !found.some((one) => one.name === name && one.region.name === region),
  );
  if (absent.length === 0) return { verdict: "ok", message: "all are there" };
  const names = absent.map(([region, name]) => `${name} in ${region}`).join(", ");
  return { verdict: "problem", message: `lambda.fileSystems: there is no ${names}` };
}

async function images(ctx: BaseCtx, config: LambdaConfig, api: LambdaApi): Promise<Told> {
  const { image, regions } = config;
  const found = await api.images(ctx);
  const isWanted = (one: (typeof found)[number]) =>
    image && ("id" in image ? one.id === image.id : one.family === image.family);
  const here = found.filter(isWanted).map((one) => one.region.name);
  const without = regions.filter((region) => !here.includes(region));
  if (without.length === 0) return { verdict: "ok", message: "it is in every region" };
  return { verdict: "problem", message: `lambda.image: it is not in ${without.join(", ")}` };
}

async function rulesets(ctx: BaseCtx, config: LambdaConfig, api: LambdaApi): Promise<Told> {
  const found = await api.firewallRulesets(ctx);
  const wanted = Object.values(config.firewallRulesets).flat();
  const absent = wanted.filter((id) => !found.some((one) => one.id === id));
  if (absent.length === 0) {
    return { verdict: "ok", message: `all are there; they must let in TCP at ${config.port}` };
  }
  return { verdict: "problem", message: `lambda.firewallRulesets: there is no ${absent.join(", ")}` };
}

function nameAll(names: readonly string[]): string {
  return names.slice(0, 20).join(", ") || "none";
}
