/** How often an address and a key may ask, over all gateways. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import proxyAddr from "@fastify/proxy-addr";
import { addressId, paceHeaders, rateLimited } from "../base/pace.ts";
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
  if (verdict && !verdict.allowed) throw rateLimited("address", verdict);
}

/** Counts a request of a key; returns the headers that tell how it stands. Throws RATE_LIMITED. */
export function paceKey(deps: GatewayDeps, limitKey: string): Readonly<Record<string, string>> {
  const verdict = deps.pace?.("key", limitKey);
  if (!verdict) return {};
  if (!verdict.allowed) throw rateLimited("key", verdict);
  return paceHeaders("key", verdict);
}
