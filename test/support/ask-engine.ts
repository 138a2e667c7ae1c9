/** Requests to an engine as the gateway makes them: plain, or by TLS to the pinned certificate alone. */
import { type buildConnector, Client, fetch, type RequestInit, type Response } from "undici";
import { connectPinned } from "../../src/base/pinned-tls.ts";
import type { ReplicaAddress } from "../../src/providers/driver.ts";

export function askEngine(address: ReplicaAddress, path: string, init: RequestInit): Promise<Response> {
  const { host, port, certificateSha256 } = address;
  if (certificateSha256 === undefined) return fetch(`http://${host}:${port}${path}`, init);
  const connect: buildConnector.connector = (_options, done) => {
    connectPinned(
      { host, port, certificateSha256 },
      { opened: (socket) => done(null, socket), failed: (error) => done(error, null) },
    );
  };
  const url = `https://${host}:${port}`;
  // Its connection ends with its idle time, which is no reason for a test to wait.
  return fetch(url + path, { ...init, dispatcher: new Client(url, { connect, keepAliveTimeout: 1 }) });
}
