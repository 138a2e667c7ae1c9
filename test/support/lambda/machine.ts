/**
 * A machine of the fake: it boots by its user data as cloud-init would, under a folder of its own in place of `/`, and the agent that
 * they bring runs for real. Docker, the firewall and the GPUs are stand-ins (see bin/).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { tinyGguf } from "../../../src/engines/llama-cpp/index.ts";
import { partsOf } from "../../../src/providers/lambda/instance-name.ts";
import { ENGINE_MAIN } from "../local-driver.ts";
import type { Machine } from "./fake-lambda.ts";

const BIN = fileURLToPath(new URL("./bin", import.meta.url));
/** Debian's and Ubuntu's own. */
const PYTHON = "/usr/bin/python3";

export interface MachineOrder {
  readonly userData: string;
  readonly ip: string;
  readonly name: string;
  readonly gpus: number;
}

export interface MachineOptions {
  /** What CUDA says; default: all works. */
  readonly cuda?: object;
  /** What `docker pull` ends with; default: it has the image. */
  readonly pullFails?: string;
}

export interface RunningMachine extends Machine {
  /** In place of its `/`. */
  readonly folder: string;
  /** As systemd does when the agent ended; the container goes on. */
  restartAgent(): Promise<void>;
}

interface CloudConfig {
  readonly write_files: readonly {
    readonly path: string;
    readonly content: string;
    readonly encoding?: string;
  }[];
  readonly runcmd: readonly (readonly string[])[];
}

export async function bootMachine(
  { userData, ip, name, gpus }: MachineOrder,
  options: MachineOptions = {},
): Promise<RunningMachine> {
  const folder = await mkdtemp(join(tmpdir(), "slipway-machine-"));
  const config: CloudConfig = JSON.parse(userData.replace(/^#cloud-config\n/, ""));
  for (const file of config.write_files) await writeRooted(folder, file);
  await ownPaths(folder, ip);
  await writeFile(join(folder, "tiny.gguf"), tinyGguf({ seed: 1 }));
  const cuda = options.cuda ?? { ok: true, code: 0, message: `${gpus} GPUs work` };
  await writeFile(join(folder, "gpu-check.json"), JSON.stringify(cuda));
  if (options.pullFails) await writeFile(join(folder, "pull-fails"), options.pullFails);
  const start = () => startUnit(folder, config, partsOf(name)?.replica ?? name);
  let agent = await start();
  const stop = async () => {
    agent.kill("SIGKILL");
    if (agent.exitCode === null && agent.signalCode === null) await once(agent, "exit");
  };
  return {
    folder,
    async restartAgent() {
      await stop();
      agent = await start();
    },
    async destroy() {
      const container = Number(await readFile(join(folder, "container", "pid"), "utf8").catch(() => "0"));
      if (container > 0) end(container);
      await stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

async function writeRooted(folder: string, file: CloudConfig["write_files"][number]): Promise<void> {
  const path = join(folder, file.path);
  await mkdir(dirname(path), { recursive: true });
  const plain = file.encoding === "gz+b64" ? gunzipSync(Buffer.from(file.content, "base64")) : file.content;
  await writeFile(path, plain, { mode: 0o600 });
}

/** The agent's folders, under the machine's; its address alone, for there are other machines on this one. */
async function ownPaths(folder: string, ip: string): Promise<void> {
  const path = join(folder, "etc/slipway/agent.json");
  const config = JSON.parse(await readFile(path, "utf8"));
  const rooted = (key: string) => ({ [key]: join(folder, config[key]) });
  const own = { ...config, host: ip, ...rooted("dir"), ...rooted("secretDir"), ...rooted("weightsDir") };
  await writeFile(path, JSON.stringify(own));
}

async function startUnit(folder: string, { runcmd }: CloudConfig, replica: string): Promise<ChildProcess> {
  const unit = runcmd.find((words) => words[0] === "systemctl" && words[1] === "enable")?.at(-1) ?? "";
  const text = await readFile(join(folder, "etc/systemd/system", unit), "utf8");
  const [, ...words] = (/^ExecStart=(.*)$/m.exec(text)?.[1] ?? "").split(" ");
  const rooted = words.map((word) => (word.startsWith("/") ? join(folder, word) : word));
  return spawn(PYTHON, rooted, {
    // What systemd gives, and what the stand-ins need.
    env: {
      PATH: `${BIN}:/usr/local/bin:/usr/bin:/bin`,
      MACHINE_DIR: folder,
      MACHINE_NAME: replica,
      MACHINE_PYTHON: PYTHON,
      MACHINE_MODEL: join(folder, "tiny.gguf"),
      MACHINE_ENGINE: JSON.stringify([process.execPath, ENGINE_MAIN]),
    },
    stdio: ["ignore", "inherit", "inherit"],
  });
}
