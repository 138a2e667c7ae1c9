import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { BaseCtx } from "../base/ctx.ts";
import { type Db, type DbCtx, type TxCtx, withTransaction } from "../db/db.ts";
import type { Principal } from "./model.ts";

/** What the edge knows of a call. Domains lie below the edge and can't import it, so main hands it to their routes. */
export interface Edge {
  principalOf(context: HandlerContext): Principal;
  /** The user whose resource the call is about, as the access table says: the caller, or whom an administrator names; there is such a user. */
  ownerOf(context: HandlerContext): string;
  /** As ownerOf; undefined where an administrator asks for every user's. */
  ownerOrAllOf(context: HandlerContext): string | undefined;
  /** Log that names the request, and a signal that ends with it. */
  ctxOf(context: HandlerContext): BaseCtx;
  /** Defined where the call carries an Idempotency-Key. */
  idempotencyOf(context: HandlerContext): IdempotentAnswer | undefined;
}

/** Stores the answer of a keyed call inside the transaction that makes it true. */
export interface IdempotentAnswer {
  completeIn<O extends DescMessage>(tx: TxCtx, schema: O, response: MessageInitShape<O>): Promise<void>;
}

/** What the routes of a domain on Postgres need. */
export interface RoutesDeps {
  readonly db: Db;
  readonly edge: Edge;
}

/** The ctx of one call. */
export function callCtx(deps: RoutesDeps, context: HandlerContext): DbCtx {
  return { ...deps.edge.ctxOf(context), db: deps.db };
}

/** One transaction for what is made and for the answer that a repeat of the call gets: a secret is never made twice. */
export function answeredOnce<O extends DescMessage>(
  deps: RoutesDeps,
  context: HandlerContext,
  schema: O,
  work: (tx: DbCtx & TxCtx) => Promise<MessageInitShape<O> & MessageShape<O>>,
): Promise<MessageInitShape<O> & MessageShape<O>> {
  return withTransaction(callCtx(deps, context), async (tx) => {
    const response = await work(tx);
    await deps.edge.idempotencyOf(context)?.completeIn(tx, schema, response);
    return response;
  });
}
