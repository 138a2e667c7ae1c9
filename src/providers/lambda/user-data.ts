/**
 * What a machine boots with: cloud-config as JSON, which is YAML. It brings the agent and starts it, and holds nothing secret: of the
 * machine's token only the hash, of the engine nothing. Whoever reads it could pose as the machine before the control plane, not as the
 * control plane before the machine.
 */
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import type { ReplicaName } from "../driver.ts";
import { FETCH_PROGRAM } from "../fetch-weights.ts";
import type { LambdaConfig } from "./config.ts";

const PROGRAMS = "/opt/slipway";
const CONFIG = "/etc/slipway/agent.json";
const SSH_PORT = 22;

export interface Boot {
  readonly name: ReplicaName;
  readonly tokenHash: string;
  readonly gpuCount: number;
  readonly gpuCheckMs: number;
  /** Where the file system for weights is mounted; undefined: the machine's own disk. */
  readonly mountPoint: string | undefined;
}

/** Beside the compiled program as beside its source. */
const agent = () => readFile(new URL("./agent/agent.py", import.meta.url));

export async function userData({ port, sshKey }: LambdaConfig, boot: Boot): Promise<string> {
  const config = {
    name: boot.name,
    tokenHash: boot.tokenHash,
    host: "0.0.0.0",
    port,
    gpus: boot.gpuCount,
    gpuCheckSeconds: boot.gpuCheckMs / 1_000,
    ports: sshKey === undefined ? [port] : [port, SSH_PORT],
    dir: "/var/lib/slipway",
    secretDir: "/run/slipway",
    weightsDir: boot.mountPoint === undefined ? "/var/lib/slipway/weights" : `${boot.mountPoint}/slipway`,
  };
  const cloudConfig = {
    write_files: [
      packed(`${PROGRAMS}/agent.py`, await agent()),
      packed(`${PROGRAMS}/fetch-weights.py`, Buffer.from(FETCH_PROGRAM)),
      { path: CONFIG, permissions: "0600", content: JSON.stringify(config) },
      { path: "/etc/systemd/system/slipway-agent.service", content: UNIT },
    ],
    runcmd: [
      ["sh", "-c", DOCKER],
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "--now", "slipway-agent.service"],
    ],
  };
  return `#cloud-config\n${JSON.stringify(cloudConfig)}\n`;
}

function packed(path: string, content: Buffer): object {
  return { path, permissions: "0755", encoding: "gz+b64", content: gzipSync(content).toString("base64") };
}

/** Lambda Stack brings both; an image without them gets them here. */
const DOCKER =
  "command -v docker && command -v nvidia-ctk || { apt-get update && apt-get install -y docker.io nvidia-container-toolkit && nvidia-ctk runtime configure --runtime=docker && systemctl restart docker; }";

/** KillMode: when the agent is started again, the engine's container goes on. */
const UNIT = `[Unit]
Description=Slipway agent
After=network-online.target docker.service
Wants=network-online.target

[Service]
ExecStart=/usr/bin/python3 ${PROGRAMS}/agent.py run ${CONFIG}
Restart=always
RestartSec=2
KillMode=process

[Install]
WantedBy=multi-user.target
`;
