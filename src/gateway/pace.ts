/** How often an address and a key may ask, over all gateways. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import proxyAddr from "@fastify/proxy-addr";
import { addressId, type PaceVerdict, paceHeaders, paceWaitMs } from "../base/pace.ts";
import { refused } from "./openai-error.ts";
import type { GatewayDeps } from "./ports.ts";

/** Who is counted: see addressId. */
export type CallerAddress = (request: IncomingMessage) => string;

/** Who calls: the peer, or where it is one of the proxies, whom that names. */
export function callerAddress(trustedProxies: readonly string[]): CallerAddress {
  const peers = new WeakMap<Socket, string>();
  const peerOf = ({ socket }: IncomingMessage): string => {
    let id = peers.get(socket);
    if (id === undefined) {
      id = addressId(socket.remoteAddress ?? "");
      peers.set(socket, id);
    }
    return id;
  };
  if (trustedProxies.length === 0) return peerOf;
  const isTrusted = proxyAddr.compile([...trustedProxies]);
  return (request) => addressId(proxyAddr(request, isTrusted));
}

/** Counts a request of an address. Throws RATE_LIMITED. */
export function paceAddress(deps: GatewayDeps, address: string): void {
  const verdict = deps.pace?.("address", address);
  if (verdict && !verdict.allowed) throw tooFast("address", verdict);
}

/** Counts a request of a key; returns the headers that tell how it stands. Throws RATE_LIMITED. */
export function paceKey(deps: GatewayDeps, limitKey: string): Readonly<Record<string, string>> {
  const verdict = deps.pace?.("key", limitKey);
  if (!verdict) return {};
  if (!verdict.allowed) throw tooFast("key", verdict);
  return paceHeaders("key", verdict);
}

function tooFast(kind: "key" | "address", verdict: PaceVerdict): Error {
  const { requestsMax, windowMs } = verdict.policy;
  const message = `This ${kind} may ask ${requestsMax} times in ${windowMs / 1_000} seconds. Wait as Retry-After says.`;
  const metadata = {
    limitedBy: kind,
    requestsMax: String(requestsMax),
    windowSeconds: String(windowMs / 1_000),
  };
  return refused("RATE_LIMITED", message, { metadata, retryAfterMs: paceWaitMs(verdict) });
}
