import { systemClock } from "../base/clock.ts";
import { systemRandom } from "../base/random.ts";
import type { CliIo } from "../cli/index.ts";
import { userConfigDir } from "./config.ts";
import { openBrowser } from "./open-browser.ts";

/** What the commands see of this process. */
export function processIo(): CliIo {
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => interrupted.abort(new Error(signal)));
  }
  // A reader that went away (`slipway … | head`) is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    isTty: {
      stdin: process.stdin.isTTY === true,
      stdout: process.stdout.isTTY === true,
      stderr: process.stderr.isTTY === true,
    },
    env: process.env,
    configDir: userConfigDir(process.env),
    installationDir: process.env.SLIPWAY_HOME ?? ".slipway",
    fetch,
    openBrowser: (url) => openBrowser(process.env, url),
    clock: systemClock,
    random: systemRandom,
    interrupted: interrupted.signal,
    exit: (status) => process.exit(status),
  };
}
