/** A wire between a driver and the API server that a test can cut: bytes pass as they are, TLS included. */
import { readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Cluster } from "./cluster.ts";

export interface Wire {
  readonly port: number;
  /** Ends all connections; new ones pass. */
  cut(): void;
  /** Nothing passes from the server any more, and nobody is told: connections stay open. */
  freeze(): void;
  close(): Promise<void>;
}

export async function wireTo(cluster: Cluster): Promise<Wire> {
  const pairs = new Set<{ near: Socket; far: Socket }>();
  const server = createServer((near) => {
    const far = connect(Number(new URL(cluster.url).port), "127.0.0.1");
    const pair = { near, far };
    pairs.add(pair);
    near.pipe(far);
    far.pipe(near);
    const end = () => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) socket.on("error", end).on("close", end);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const cut = () => {
    for (const { near, far } of pairs) {
      near.destroy();
      far.destroy();
    }
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    freeze() {
      for (const { near, far } of pairs) far.unpipe(near).pause();
    },
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The same kubeconfig through the wire. */
export async function throughWire(kubeconfig: string, cluster: Cluster, wire: Wire): Promise<string> {
  const file = kubeconfig.replace(/\.kubeconfig$/, `-${wire.port}.kubeconfig`);
  const text = await readFile(kubeconfig, "utf8");
  await writeFile(file, text.replaceAll(cluster.url, `https://127.0.0.1:${wire.port}`), { mode: 0o600 });
  return file;
}
