/** Asks a container how it is, as its probes and its preStop say. */
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { Agent, request } from "undici";
import type { Container, Handler } from "./pod-types.ts";

/** Where the container runs. */
export interface Inside {
  readonly container: Container;
  readonly podIp: string;
  readonly pid: number;
}

/** Engines in pods have certificates of nobody, and a kubelet does not look at them either. */
const dispatcher = new Agent({ connect: { rejectUnauthorized: false }, keepAliveTimeout: 1 });

/** Resolves to undefined when it went well, otherwise to what a kubelet would say. */
export async function ask(handler: Handler, inside: Inside, timeoutMs: number): Promise<string | undefined> {
  try {
    if (handler.httpGet) return await httpGet(handler.httpGet, inside, timeoutMs);
    if (handler.exec) return await execIn(handler.exec.command, inside, timeoutMs);
    if (handler.tcpSocket) return await tcp(handler.tcpSocket.port, inside, timeoutMs);
    if (handler.sleep)
      await new Promise((resolve) => setTimeout(resolve, (handler.sleep?.seconds ?? 0) * 1_000));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function portOf(port: number | string, { container }: Inside): number {
  if (typeof port === "number") return port;
  const named = container.ports?.find((one) => one.name === port)?.containerPort;
  if (named === undefined) throw new Error(`couldn't find port: ${port} in container ${container.name}`);
  return named;
}

async function httpGet(
  { path = "/", port, scheme = "HTTP", httpHeaders = [] }: NonNullable<Handler["httpGet"]>,
  inside: Inside,
  timeoutMs: number,
): Promise<string | undefined> {
  const url = `${scheme.toLowerCase()}://${inside.podIp}:${portOf(port, inside)}${path}`;
  const headers = Object.fromEntries(httpHeaders.map(({ name, value }) => [name, value]));
  const response = await request(url, { headers, dispatcher, signal: AbortSignal.timeout(timeoutMs) });
  await response.body.dump();
  const isWell = response.statusCode >= 200 && response.statusCode < 400;
  return isWell ? undefined : `HTTP probe failed with statuscode: ${response.statusCode}`;
}

function execIn(command: readonly string[], { pid }: Inside, timeoutMs: number): Promise<string | undefined> {
  const args = ["-t", String(pid), "-n", "-m", "-r", "-w", ...command];
  const child = spawn("nsenter", args, { stdio: "ignore", timeout: timeoutMs, killSignal: "SIGKILL" });
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code) =>
      resolve(code === 0 ? undefined : `command exited with ${code ?? "a signal"}`),
    );
  });
}

function tcp(port: number | string, inside: Inside, timeoutMs: number): Promise<string | undefined> {
  const socket = connect({ host: inside.podIp, port: portOf(port, inside), timeout: timeoutMs });
  return new Promise((resolve) => {
    const end = (answer: string | undefined) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(undefined));
    socket.once("timeout", () => end("i/o timeout"));
    socket.once("error", (error) => end(error.message));
  });
}
