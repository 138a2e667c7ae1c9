/**
 * Instance names carry the replica's name, when it was launched (Lambda does not tell) and, once it is to go, until when it may finish
 * its streams: `<replica>-<seconds>` or `<replica>-<seconds>-x<seconds>`, in base 36. At most 46 of Lambda's 64 characters.
 */
import type { ReplicaName } from "../driver.ts";

export interface NameParts {
  readonly replica: ReplicaName;
  readonly launchedAt: Date;
  /** Undefined: it is not going. */
  readonly killAt?: Date;
}

const NAME =
  /^(?<replica>sw-[0-9a-f]{8}-[0-9a-f]{16})-(?<launched>[0-9a-z]{6,8})(?:-x(?<kill>[0-9a-z]{6,8}))?$/;

export function instanceName({ replica, launchedAt, killAt }: NameParts): string {
  const mark = killAt === undefined ? "" : `-x${base36(Math.ceil(killAt.getTime() / 1_000))}`;
  return `${replica}-${base36(Math.floor(launchedAt.getTime() / 1_000))}${mark}`;
}

/** Undefined for a name that is not of our making. */
export function partsOf(name: string | null | undefined): NameParts | undefined {
  const found = NAME.exec(name ?? "")?.groups;
  if (!found?.replica || !found.launched) return undefined;
  const parts = { replica: found.replica, launchedAt: dateOf(found.launched) };
  return found.kill === undefined ? parts : { ...parts, killAt: dateOf(found.kill) };
}

function base36(seconds: number): string {
  return seconds.toString(36).padStart(6, "0");
}

function dateOf(text: string): Date {
  return new Date(Number.parseInt(text, 36) * 1_000);
}
