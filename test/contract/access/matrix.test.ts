/**
 * Every operation × every role × what is the caller's own, another's, or nobody's, over HTTP on a real database, against the table that
 * was written by hand (expected.ts).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DescMethod } from "@bufbuild/protobuf";
import { contractMethods } from "./contract.ts";
import { type Expectation, expectations, KINDS, type Kind, ROLES, type RoleName } from "./expected.ts";
import { requestOf, restOf } from "./requests.ts";
import { accessWorld, type Target, type Told, told, type User, type World } from "./world.ts";

const METHODS: ReadonlyMap<string, DescMethod> = new Map(
  (await contractMethods()).map((method) => [method.name, method]),
);
const TABLE = expectations();

/** Cells that are asked at once: enough to keep the database busy, few enough for its connections. */
const AT_ONCE = 3;

function methodOf({ name }: Expectation): DescMethod {
  const method = METHODS.get(name.split("~")[0] ?? "");
  assert.ok(method, `${name} is no operation of the contract`);
  return method;
}

interface Ask {
  readonly row: Expectation;
  readonly target: Target;
  readonly caller: Target;
  readonly token: string | undefined;
  readonly connect?: boolean;
}

async function ask(world: World, { row, target, caller, token, connect = false }: Ask): Promise<Told> {
  const method = methodOf(row);
  const json = await requestOf(row.name, target, caller);
  const rest = restOf(method, json);
  const headers = {
    "content-type": "application/json",
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
  const answer = connect
    ? await fetch(`${world.url}/${method.parent.typeName}/${method.name}`, {
        method: "POST",
        headers: { ...headers, "connect-protocol-version": "1" },
        body: JSON.stringify(json),
      })
    : await fetch(world.url + rest.path, {
        method: rest.method,
        headers,
        ...(rest.body !== undefined && { body: rest.body }),
      });
  return told(answer);
}

/** Who asks and whom it is about; both are new for every cell, so that no call meets what another left. */
async function parties(world: World, row: Expectation, role: RoleName, kind: Kind) {
  const caller = await world.user(role);
  const other: RoleName = row.name.endsWith("~superAdmin") ? "SUPER_ADMIN" : "USER";
  const target =
    kind === "own" ? world.of(caller) : kind === "other" ? world.of(await world.user(other)) : world.nobody();
  return { caller, target };
}

function cellsOf(row: Expectation): readonly { role: RoleName; kind: Kind; expected: string }[] {
  return ROLES.flatMap((role) =>
    KINDS.flatMap((kind) => {
      const expected = row.cell(role, kind);
      return expected === undefined ? [] : [{ role, kind, expected }];
    }),
  );
}

/** Runs the work for each item, a few at a time. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}

const asked = (row: Expectation, user: User, world: World, target: Target, token = user.token): Ask => ({
  row,
  target,
  caller: world.of(user),
  token,
});

test("the table has every operation of the contract, and no other", () => {
  const covered = new Set(TABLE.map((row) => methodOf(row).name));
  assert.deepEqual(
    [...METHODS.keys()].filter((name) => !covered.has(name)),
    [],
  );
  assert.equal(new Set(TABLE.map(({ name }) => name)).size, TABLE.length, "a row is there twice");
});

test("to whom each operation answers what, over REST", async (t) => {
  const world = await accessWorld(t);
  const wrong: string[] = [];
  await each(TABLE, async (row) => {
    for (const { role, kind, expected } of cellsOf(row)) {
      const { caller, target } = await parties(world, row, role, kind);
      const { cell, message } = await ask(world, asked(row, caller, world, target));
      if (cell !== expected) wrong.push(`${row.name} ${role} ${kind}: ${cell}, not ${expected} (${message})`);
    }
  });
  assert.deepEqual(wrong, []);
});

test("a user can't tell another's from what does not exist", async (t) => {
  const world = await accessWorld(t);
  const wrong: string[] = [];
  await each(TABLE, async (row) => {
    if (row.cell("USER", "other") === undefined || row.cell("USER", "missing") === undefined) return;
    const user = await world.user("USER");
    const other = world.of(await world.user("USER"));
    const [known, missing] = [
      await ask(world, asked(row, user, world, other)),
      await ask(world, asked(row, user, world, world.nobody())),
    ];
    if (known.cell !== missing.cell || known.message !== missing.message) {
      wrong.push(`${row.name}: ${JSON.stringify([known, missing])}`);
    }
  });
  assert.deepEqual(wrong, []);
});

test("without a token, with one that nobody has, or as a disabled user there is nothing", async (t) => {
  const world = await accessWorld(t);
  const caller = await world.user("SUPER_ADMIN");
  const disabled = await world.user("SUPER_ADMIN");
  await fetch(`${world.url}/v1/admin/users/${disabled.id}:disable`, {
    method: "POST",
    headers: { authorization: `Bearer ${caller.token}`, "content-type": "application/json" },
    body: "{}",
  });
  const wrong: string[] = [];
  await each(TABLE, async (row) => {
    const about = { row, target: world.nobody(), caller: world.nobody() };
    for (const [token, expected] of [
      [undefined, row.none],
      ["swt_nobody", "401:TOKEN_INVALID"],
      [disabled.token, "403:USER_DISABLED"],
    ] as const) {
      const { cell } = await ask(world, { ...about, token });
      if (cell !== expected) wrong.push(`${row.name} with ${token}: ${cell}, not ${expected}`);
    }
  });
  assert.deepEqual(wrong, []);
});

test("a token that may only read reads, one that may write does, and neither makes an administrator", async (t) => {
  const world = await accessWorld(t);
  const wrong: string[] = [];
  await each(TABLE, async (row) => {
    const asUser = row.cell("USER", "own");
    if (asUser === undefined) return;
    for (const scope of ["read", "write"]) {
      const caller = await world.user("SUPER_ADMIN");
      const token = await world.token(caller, [scope]);
      const { cell } = await ask(world, asked(row, caller, world, world.of(caller), token));
      const expected = scope === "read" && row.scope === "write" ? "403:SCOPE_MISSING" : asUser;
      if (cell !== expected) wrong.push(`${row.name} by a ${scope} token: ${cell}, not ${expected}`);
    }
  });
  assert.deepEqual(wrong, []);
});

test("over the Connect protocol strangers are refused all the same", async (t) => {
  const world = await accessWorld(t);
  const wrong: string[] = [];
  const unary = TABLE.filter((row) => methodOf(row).methodKind === "unary");
  await each(unary, async (row) => {
    for (const kind of ["other", "missing"] as const) {
      const expected = row.cell("USER", kind);
      if (expected === undefined) continue;
      const { caller, target } = await parties(world, row, "USER", kind);
      const { cell } = await ask(world, { ...asked(row, caller, world, target), connect: true });
      if (cell !== expected) wrong.push(`${row.name} ${kind}: ${cell}, not ${expected}`);
    }
  });
  assert.deepEqual(wrong, []);
});
