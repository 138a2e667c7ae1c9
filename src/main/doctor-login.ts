/** Whether people can log in, as far as this machine can see. */
import { fetchIssuerKeys } from "../oidc/index.ts";
import type { Config } from "./config.ts";
import type { Finding } from "./doctor.ts";
import { issuerClient, safeForPasswords } from "./login.ts";

/** Throws what keeps the issuer's keys from being had. */
export async function loginFinding(config: Config): Promise<Omit<Finding, "check">> {
  const issuer = config.SLIPWAY_OIDC_ISSUER;
  return issuer === undefined ? embeddedFinding(config) : issuerFinding(config, issuer);
}

async function issuerFinding(config: Config, issuer: string): Promise<Omit<Finding, "check">> {
  const client = issuerClient(config, issuer);
  try {
    const { keys } = await fetchIssuerKeys(client, issuer);
    const allowed = new Set(config.SLIPWAY_OIDC_ALGORITHMS);
    // A key need not say its algorithm; one that says another is of no use here.
    const usable = keys.filter(({ alg }) => alg === undefined || allowed.has(alg));
    if (usable.length === 0) {
      const message = `${issuer} publishes no key for ${[...allowed].join(", ")}: set SLIPWAY_OIDC_ALGORITHMS`;
      return { verdict: "problem", message };
    }
    if (config.SLIPWAY_OIDC_CLIENT_ID === undefined) {
      const message = `${issuer} answers; without SLIPWAY_OIDC_CLIENT_ID \`slipway login\` takes pasted tokens only`;
      return { verdict: "warning", message };
    }
    return { verdict: "ok", message: `${issuer} answers, with ${usable.length} keys` };
  } finally {
    await client.close();
  }
}

function embeddedFinding({
  SLIPWAY_PUBLIC_URL: publicUrl,
  SLIPWAY_BIND: bind,
}: Config): Omit<Finding, "check"> {
  const url = publicUrl ?? `http://${bind.includes(":") ? `[${bind}]` : bind}`;
  if (safeForPasswords(url)) return { verdict: "ok", message: "people log in here, with passwords" };
  return {
    verdict: "warning",
    message: `people can't log in here: ${url} is neither https nor loopback; set SLIPWAY_PUBLIC_URL, or SLIPWAY_OIDC_ISSUER`,
  };
}
