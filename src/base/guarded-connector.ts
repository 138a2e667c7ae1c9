import type { LookupAddress } from "node:dns";
import type { LookupFunction } from "node:net";
import { buildConnector } from "undici";
import { type AddressGuard, bareHostname, isAddressLiteral } from "./address-guard.ts";
import { StatusError } from "./status.ts";

/** Name resolution: every address of a host. Rejects when there is none. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

const CONNECT_MS = 5_000;

/** Judges the very addresses that the socket connects to: a name that answers differently the second time gains nothing. */
export function guardedConnector(guard: AddressGuard, resolve: Resolve): buildConnector.connector {
  const base = { timeout: CONNECT_MS, allowH2: false };
  const free = buildConnector({ ...base, lookup: lookupBy(resolve, () => true) });
  const guarded = buildConnector({ ...base, lookup: lookupBy(resolve, guard.isAllowedAddress) });
  return (options, callback) => {
    const hostname = bareHostname(options.hostname);
    const port = options.port || (options.protocol === "https:" ? "443" : "80");
    if (guard.isListedHost(hostname, port)) return free(options, callback);
    if (isAddressLiteral(hostname) && !guard.isAllowedAddress(hostname)) {
      return callback(privateAddress(hostname), null);
    }
    return guarded(options, callback);
  };
}

function lookupBy(resolve: Resolve, isAllowed: (address: string) => boolean): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const first = addresses[0];
        if (!first) return callback(new Error(`${hostname} has no address`), "");
        // One bad address refuses the name: a mixed answer is how rebinding looks.
        const bad = addresses.find((one) => !isAllowed(one.address));
        if (bad) return callback(privateAddress(hostname), "");
        if (options.all) return callback(null, [...addresses]);
        return callback(null, first.address, first.family);
      },
      (error: unknown) => callback(error instanceof Error ? error : new Error(String(error)), ""),
    );
  };
}

export function privateAddress(hostname: string): StatusError {
  return new StatusError({
    code: "PERMISSION_DENIED",
    reason: "URL_REFUSED",
    message: `${hostname} is, or leads to, an address that is not public. The operator can list the host or the range.`,
  });
}
