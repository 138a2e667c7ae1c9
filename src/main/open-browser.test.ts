import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openBrowser } from "./open-browser.ts";

const URL_WITH_SYNTAX = "http://127.0.0.1:1/auth?a=1&b=$(touch x);c='";

test("without a screen, and without an opener, there is no browser", async () => {
  assert.equal(await openBrowser({}, URL_WITH_SYNTAX, "linux"), false);
  assert.equal(await openBrowser({ DISPLAY: "" }, URL_WITH_SYNTAX, "linux"), false);
  assert.equal(await openBrowser({ SSH_CONNECTION: "there" }, URL_WITH_SYNTAX, "darwin"), false);
  assert.equal(await openBrowser({ DISPLAY: ":0", PATH: "/nowhere" }, URL_WITH_SYNTAX, "linux"), false);
});

test("the opener gets the address as one argument, and no shell sees it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "slipway-opener-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const heard = join(folder, "heard");
  await writeFile(
    join(folder, "xdg-open"),
    `#!/bin/sh\nprintf '%s|' "$#" "$1" > ${heard}.draft\nmv ${heard}.draft ${heard}\n`,
  );
  await chmod(join(folder, "xdg-open"), 0o755);
  const env = { DISPLAY: ":0", PATH: `${folder}:${process.env.PATH}` };
  assert.equal(await openBrowser(env, URL_WITH_SYNTAX, "linux"), true);
  let text = "";
  while (text === "") {
    text = await readFile(heard, "utf8").catch(() => "");
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(text, `1|${URL_WITH_SYNTAX}|`);
});
