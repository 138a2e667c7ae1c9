import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { StatusError } from "./status.ts";

/** Which hosts and addresses a URL that a user influenced may lead to. */
export interface AddressGuard {
  /** The operator named this host (or host:port): plain http and private addresses are allowed there. */
  isListedHost(hostname: string, port: string): boolean;
  /** A public unicast address, or one in a range that the operator named. */
  isAllowedAddress(address: string): boolean;
}

type Range = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/**
 * `allowed` is the operator's list. An entry with a slash is a range of addresses ("10.0.0.0/8") that names may lead to over
 * https; any other is a host, with or without a port ("hub.internal", "127.0.0.1:8090"). Throws CONFIG_INVALID for a bad range.
 */
export function addressGuard(allowed: readonly string[]): AddressGuard {
  const hosts = new Set(allowed.filter((entry) => !entry.includes("/")).map((entry) => entry.toLowerCase()));
  const ranges = allowed.filter((entry) => entry.includes("/")).map(parseRange);
  return {
    isListedHost: (hostname, port) => {
      const name = hostname.toLowerCase();
      return hosts.has(name) || hosts.has(`${name}:${port}`);
    },
    isAllowedAddress: (text) => {
      const address = parseAddress(text);
      return address !== undefined && (isPublic(address) || ranges.some((range) => contains(range, address)));
    },
  };
}

/** The hostname of a URL without the brackets that IPv6 literals wear there. */
export function bareHostname(hostname: string): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

export function isAddressLiteral(hostname: string): boolean {
  return isIP(hostname) !== 0;
}

// An IPv4 address written as IPv6 (::ffff:10.0.0.1) is judged as the IPv4 address that it reaches.
function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  return ipaddr.isValid(text) ? ipaddr.process(text) : undefined;
}

const GLOBAL_UNICAST_IPV6: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse("2000::"), 3];

// "unicast" is the library's word for what is in none of the special registries (private, loopback, link-local, metadata, …).
function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address.range() !== "unicast") return false;
  return address instanceof ipaddr.IPv4 || address.match(GLOBAL_UNICAST_IPV6);
}

function contains([network, bits]: Range, address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (network instanceof ipaddr.IPv4) return address instanceof ipaddr.IPv4 && address.match(network, bits);
  return address instanceof ipaddr.IPv6 && address.match(network, bits);
}

function parseRange(text: string): Range {
  try {
    return ipaddr.parseCIDR(text);
  } catch (cause) {
    throw new StatusError({
      code: "INVALID_ARGUMENT",
      reason: "CONFIG_INVALID",
      message: `"${text}" is not a range of addresses like 10.0.0.0/8.`,
      cause,
    });
  }
}
