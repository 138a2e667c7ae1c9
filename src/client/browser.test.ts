import assert from "node:assert/strict";
import { isBuiltin, registerHooks } from "node:module";
import { test } from "node:test";

test("no module that the client loads needs more than a browser has", async () => {
  const loaded: string[] = [];
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      loaded.push(`${specifier} from ${context.parentURL}`);
      assert.ok(!isBuiltin(specifier), `${context.parentURL} imports ${specifier}`);
      return next(specifier, context);
    },
  });
  try {
    await import("./index.ts");
  } finally {
    hooks.deregister();
  }
  assert.ok(loaded.length > 50, `only ${loaded.length} imports were seen`);
});
