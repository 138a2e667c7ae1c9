import { spawn } from "node:child_process";

/** The program that shows a page, where this looks like a session with a screen. */
function openerOf(env: Readonly<Record<string, string | undefined>>, platform: string): string | undefined {
  const given = (name: string) => env[name] !== undefined && env[name] !== "";
  if (platform === "darwin") return given("SSH_CONNECTION") ? undefined : "open";
  return given("DISPLAY") || given("WAYLAND_DISPLAY") ? "xdg-open" : undefined;
}

/** Asks the system to show a page; false where there is no screen or no browser. Never a shell: the address is one argument. */
export async function openBrowser(
  env: Readonly<Record<string, string | undefined>>,
  url: string,
  platform: string = process.platform,
): Promise<boolean> {
  const opener = openerOf(env, platform);
  if (opener === undefined) return false;
  const child = spawn(opener, [url], { env: { ...env }, stdio: "ignore", detached: true });
  child.unref();
  // Some openers stay as long as the browser does: what starts is taken for success.
  return new Promise((resolve) => {
    child.once("error", () => resolve(false));
    child.once("spawn", () => resolve(true));
  });
}
