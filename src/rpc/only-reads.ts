import type { FastifyInstance, FastifyReply } from "fastify";
import { sendError } from "./rest.ts";
import { wrongMethod } from "./route-table.ts";

/** A path that is read by GET or HEAD and refuses any other method. */
export function onlyReads(
  app: FastifyInstance,
  path: string,
  answer: (reply: FastifyReply) => FastifyReply | Promise<FastifyReply>,
): void {
  app.all(path, async (request, reply) => {
    const reads = request.method === "GET" || request.method === "HEAD";
    return reads ? answer(reply) : sendError(reply, wrongMethod(["GET", "HEAD"]));
  });
}
