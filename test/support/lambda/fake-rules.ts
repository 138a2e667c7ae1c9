/** What the fake of Lambda's API knows of instances, refuses, and breaks on request. */
import type { FakeType } from "./fake-types.ts";

export interface FakeInstance {
  readonly id: string;
  name: string;
  status: string;
  readonly region: string;
  readonly type: string;
  readonly ip: string;
}

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

interface When {
  /** Method and path: `POST /instance-operations/launch`; "*": every call. */
  readonly on: string;
  /** Calls that it hits; default 1. */
  readonly times?: number;
}

/** What goes wrong with the next calls, until it is mended. */
export type FakeFault = When &
  (
    | ({ readonly kind: "answer" } & Problem)
    /** It is done, and the connection breaks before the answer. */
    | { readonly kind: "reply-lost" }
    /** A launch is confirmed, and nothing ever comes of it. */
    | { readonly kind: "accepted-and-lost" }
    /** Nothing is done, and no answer comes, before it is mended. */
    | { readonly kind: "held" }
    /** The list comes in two parts, of which the second does not come. */
    | { readonly kind: "half" }
    /** The answer of another time. */
    | { readonly kind: "stale"; readonly data: object }
  );

/** As `Instance` is described; `ip` comes with the machine. */
export function publicForm(one: FakeInstance): object {
  return {
    id: one.id,
    name: one.name,
    status: one.status,
    ...(one.status === "booting" ? {} : { ip: one.ip }),
    region: { name: one.region, description: one.region },
    instance_type: { name: one.type },
    ssh_key_names: [],
    file_system_names: [],
    actions: {},
  };
}

export function launchProblem(
  body: Record<string, unknown>,
  has: {
    readonly types: Readonly<Record<string, FakeType>>;
    readonly room: ReadonlyMap<string, readonly string[]>;
    readonly sshKeys: ReadonlyMap<string, string>;
    readonly alive: number;
    readonly quota: number;
  },
): Problem | undefined {
  const keys = (body.ssh_key_names ?? []) as readonly string[];
  const type = String(body.instance_type_name);
  if (!has.types[type]) return bad("global/object-does-not-exist", "no such instance type");
  if (keys.length !== 1) return bad("global/invalid-parameters", "exactly one SSH key must be specified");
  if (!has.sshKeys.has(keys[0] ?? "")) return bad("global/object-does-not-exist", "no such SSH key");
  if (String(body.name ?? "").length > 64) return bad("global/invalid-parameters", "name is too long");
  if (String(body.user_data ?? "").length > 1_000_000)
    return bad("global/invalid-parameters", "user_data is too long");
  if (has.alive >= has.quota) return bad("global/quota-exceeded", "Quota exceeded.");
  if (!has.room.get(type)?.includes(String(body.region_name))) {
    return bad(
      "instance-operations/launch/insufficient-capacity",
      "Not enough capacity to fulfill launch request.",
    );
  }
  return undefined;
}

function bad(code: string, message: string): Problem {
  return { status: 400, code, message };
}
