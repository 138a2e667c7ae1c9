import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../../../src/providers/lambda/agent", import.meta.url));

test("the agent's own tests pass with the Python of a plain machine", () => {
  // -B: nothing is written beside the source.
  const words = ["-B", "-m", "unittest", "agent_test"];
  const { status, stderr } = spawnSync("/usr/bin/python3", words, { cwd: FOLDER, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  assert.match(stderr, /Ran \d\d tests/);
});
