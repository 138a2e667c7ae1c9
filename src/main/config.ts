/** The only reader of the environment. */
import { homedir } from "node:os";
import { resolve } from "node:path";
import { checkFences, refused } from "./config-checks.ts";
import { type Config, settings } from "./settings.ts";

export type { Config } from "./settings.ts";

/** Parses the environment; all that is wrong is told at once, by name. */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(
    Object.entries(env).filter(([name, value]) => name in settings.shape && value !== ""),
  );
  const parsed = settings.safeParse(given);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw refused(`The configuration is invalid. ${problems.join("; ")}`);
  }
  const config = { ...parsed.data, SLIPWAY_HOME: resolve(parsed.data.SLIPWAY_HOME) };
  checkFences(config);
  return config;
}

/** The user's own configuration folder of the command line. */
export function userConfigDir(env: Readonly<Record<string, string | undefined>>): string {
  return resolve(
    env.SLIPWAY_CONFIG_HOME ?? resolve(env.XDG_CONFIG_HOME ?? resolve(homedir(), ".config"), "slipway"),
  );
}
