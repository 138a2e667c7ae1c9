import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyInstance } from "fastify";
import { StatusError } from "../base/status.ts";
import { sendError } from "./rest.ts";

/** A protocol of its own on the control plane's port, below one path. */
export interface Mount {
  /** Without a slash at its end. */
  readonly prefix: string;
  /** Whoever answers. Throws StatusError while nobody does. */
  ready(): Promise<(request: IncomingMessage, response: ServerResponse, address: string) => Promise<void>>;
}

/** Hands everything below the mounts' paths over, bodies unread. Limits by address and the common headers hold there too. */
export function addMounts(app: FastifyInstance, mounts: readonly Mount[]): void {
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, _payload, done) => done(null));
    for (const { prefix, ready } of mounts) {
      scope.all(`${prefix}/*`, async (request, reply) => {
        const answer = await ready().catch((error: unknown) => StatusError.from(error));
        if (answer instanceof StatusError) return sendError(reply, answer);
        reply.hijack();
        for (const [name, value] of Object.entries(reply.getHeaders())) {
          if (value !== undefined) reply.raw.setHeader(name, value);
        }
        // What fails after its head was sent can't be told any more; the connection tells it.
        await answer(request.raw, reply.raw, request.ip).catch(() => reply.raw.destroy());
      });
    }
  });
}
