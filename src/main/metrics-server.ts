import Fastify from "fastify";
import type { Registry } from "prom-client";

/** Prometheus text of these registries, on loopback alone; returns how to close. */
export async function serveMetrics(
  port: number,
  registries: readonly Registry[],
): Promise<() => Promise<void>> {
  const app = Fastify();
  app.get("/metrics", async (_request, reply) => {
    const texts = await Promise.all(registries.map((registry) => registry.metrics()));
    return reply.type("text/plain; version=0.0.4").send(texts.join("\n"));
  });
  await app.listen({ host: "127.0.0.1", port });
  return () => app.close();
}
