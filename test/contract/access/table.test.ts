import assert from "node:assert/strict";
import { test } from "node:test";
import { UserService } from "../../../gen/tensormesh/user/v1/user_service_pb.js";
import { checkAccess } from "../../../src/rpc/access.ts";
import { findAccess, type Whose } from "../../../src/rpc/access-table.ts";
import { changesNothing } from "../../../src/rpc/http-rule.ts";
import { edge } from "../edge/fixture.ts";
import { contractMethods } from "./contract.ts";

const METHODS = await contractMethods();

test("every method of the contract has a row whose fields the request has", () => {
  assert.ok(METHODS.length > 40, `${METHODS.length} methods were found`);
  checkAccess(METHODS);
});

test("whatever changes something needs a token that may write, and nothing else does", () => {
  const wrong = METHODS.filter((method) => {
    return (findAccess(method)?.scope === "read") !== changesNothing(method);
  });
  assert.deepEqual(wrong.map(String), []);
});

test("a user that a request names is looked at: the row says what each user_id means", () => {
  const forgotten = METHODS.filter((method) => {
    const whose = findAccess(method)?.whose;
    const users = method.input.fields.filter(({ name }) => /(^|_)user_ids?$/.test(name));
    return users.some(({ name }) => !namedIn(whose).includes(name));
  });
  assert.deepEqual(forgotten.map(String), []);
});

test("an edge with a method that has no row does not start", () => {
  const forgotten = { ...UserService.method.getAuthProfile, name: "Forgotten" };
  const transport = () => edge({ after: () => {} }, { handlers: {}, services: [fakeService(forgotten)] });
  assert.throws(transport, /UserService\/Forgotten has no row/);
});

function namedIn(whose: Whose | undefined): readonly string[] {
  if (whose?.kind === "owner") return [whose.field];
  if (whose === undefined || whose.kind === "everyone") return [];
  return [whose.asker ?? "", ...(whose.kind === "users" ? whose.subjects : [])];
}

function fakeService(method: (typeof UserService.methods)[number]): typeof UserService {
  return { ...UserService, methods: [method] };
}
