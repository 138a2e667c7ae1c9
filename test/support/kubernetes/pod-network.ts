/** A pod's own network: a namespace with one address that this machine (and so every other pod) can reach. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { shell } from "./shell.ts";

export interface Sandbox {
  /** Its process keeps the namespace; containers enter it by this id. */
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ip: string;
}

/** This machine, as pods see it. */
const HOST = "169.254.77.1";
/** Addresses are drawn at random; with a few pods the second draw is free. */
const DRAWS_MAX = 20;

/** Makes the namespace; it goes away with its process, and takes its addresses and routes along. */
export async function createSandbox(watch: (child: ChildProcess) => void): Promise<Sandbox> {
  const child = spawn("unshare", ["--net", "--", "sh", "-c", "echo; exec sleep infinity"], {
    stdio: ["ignore", "pipe", "ignore"],
    detached: true,
  });
  watch(child);
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error("no network namespace can be made")));
    child.stdout.once("data", () => resolve());
  });
  const pid = child.pid ?? 0;
  const device = `swp${randomBytes(5).toString("hex")}`;
  await shell("ip", ["link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", String(pid)]);
  await shell("ip", ["address", "add", `${HOST}/32`, "dev", device]);
  await shell("ip", ["link", "set", device, "up"]);
  const ip = await takeAddress(device);
  const inside = ["-t", String(pid), "-n", "ip"];
  await shell("nsenter", [...inside, "link", "set", "lo", "up"]);
  await shell("nsenter", [...inside, "address", "add", `${ip}/32`, "dev", "eth0"]);
  await shell("nsenter", [...inside, "link", "set", "eth0", "up"]);
  await shell("nsenter", [...inside, "route", "add", HOST, "dev", "eth0"]);
  await shell("nsenter", [...inside, "route", "add", "default", "via", HOST]);
  return { child, pid, ip };
}

async function takeAddress(device: string): Promise<string> {
  for (let draw = 1; ; draw++) {
    const ip = `10.244.${randomInt(256)}.${randomInt(1, 255)}`;
    try {
      await shell("ip", ["route", "add", `${ip}/32`, "dev", device]);
      return ip;
    } catch (error) {
      if (draw === DRAWS_MAX) throw error;
    }
  }
}
