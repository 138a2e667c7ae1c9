import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../../base/clock.ts";
import {
  isAlive,
  NEVER,
  parseClaim,
  processTable,
  procTable,
  psTable,
  signalProcess,
} from "./process-table.ts";

/** Those that this machine can serve: a small container has no `ps`, another system no /proc. */
const tables = [
  ...(existsSync("/proc/self/stat") ? [["procTable", procTable] as const] : []),
  ...(existsSync("/bin/ps") || existsSync("/usr/bin/ps") ? [["psTable", psTable] as const] : []),
];

for (const [name, table] of tables) {
  test(`${name}: what a shell writes of itself is what is found of it later, after it became another program`, async (t) => {
    const child = spawn("/bin/sh", ["-c", `${table.identify}\necho "$identity"; exec sleep 60`], {
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => void child.kill("SIGKILL"));
    const [line] = await once(child.stdout, "data");
    const claim = parseClaim(String(line));
    assert.ok(claim.kind === "process");
    assert.equal(claim.identity.pid, child.pid);
    assert.equal(await table.startOf(claim.identity.pid), claim.identity.started);
  });

  test(`${name}: a process that ended is not found, even while its exit status waits`, async (t) => {
    // The shell becomes a sleep that never asks how its child ended: a zombie.
    const parent = spawn("/bin/sh", ["-c", "sleep 0.01 & echo $!; exec sleep 60"], {
      env: { PATH: "/usr/bin:/bin" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => void parent.kill("SIGKILL"));
    const [line] = await once(parent.stdout, "data");
    const pid = Number(String(line));
    while ((await table.startOf(pid)) !== undefined) await systemClock.sleep(5);
    assert.doesNotThrow(() => process.kill(pid, 0), "its exit status still waits under its id");
  });
}

test("another process under a pid that was used before is not mistaken for the first", async () => {
  const started = await processTable.startOf(process.pid);
  assert.ok(started);
  assert.equal(await isAlive({ pid: process.pid, started }), true);
  const earlier = { pid: process.pid, started: `${started}0` };
  assert.equal(await isAlive(earlier), false);
  await signalProcess(earlier, "SIGKILL", { group: false });
  await signalProcess({ pid: 2 ** 22 + 1, started }, "SIGKILL", { group: true });
});

test("claims are read as what they are", () => {
  assert.deepEqual(parseClaim(undefined), { kind: "open" });
  assert.deepEqual(parseClaim(NEVER), { kind: "never" });
  assert.deepEqual(parseClaim(""), { kind: "starting" });
  assert.deepEqual(parseClaim("12"), { kind: "starting" });
  assert.deepEqual(parseClaim("12 boot/34\n"), {
    kind: "process",
    identity: { pid: 12, started: "boot/34" },
  });
});
