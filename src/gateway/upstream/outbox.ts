/**
 * Requests that one turn of the event loop lets in go out together at its end. Waking a sleeping replica costs the sender more
 * than a request does; one that is still at work on the one before need not be woken.
 */
import type { Socket } from "node:net";

let waiting: { readonly socket: Socket; readonly bytes: Buffer }[] = [];

export function sendAtTurnsEnd(socket: Socket, bytes: Buffer): void {
  if (waiting.push({ socket, bytes }) === 1) setImmediate(sendAll);
}

function sendAll(): void {
  const all = waiting;
  waiting = [];
  for (const { socket, bytes } of all) if (!socket.destroyed) socket.write(bytes);
}
