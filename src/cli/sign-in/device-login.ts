import type { DeviceAuthorizationResponse, TokenEndpointResponse } from "openid-client";
import { StatusError } from "../../base/status.ts";
import type { CliIo } from "../io.ts";
import { plain } from "../plain.ts";
import type { LoginServer } from "./login-server.ts";
import { errorCode, type Issuer, issuerOf, resourceOf, type Tokens, tokensOf, told } from "./oauth.ts";

/** RFC 8628: between two questions, where the issuer says nothing, and what is added when it asks to slow down. */
const INTERVAL_S = 5;
const SLOWER_S = 5;

/** Logs in from a browser on any machine: shows an address and a code, and waits until they were used. */
export async function deviceLogin(io: CliIo, server: LoginServer): Promise<Tokens> {
  const issuer = await issuerOf(io, server);
  const { oauth } = issuer;
  // Not asked for by RFC 8628, ignored by most, and wanted by issuers that want PKCE of a client whichever way it comes.
  const verifier = oauth.randomPKCECodeVerifier();
  const challenge = await oauth.calculatePKCECodeChallenge(verifier);
  const begun = await told(server.issuer, io, () =>
    oauth.initiateDeviceAuthorization(issuer.config, {
      scope: server.scopes.join(" "),
      code_challenge: challenge,
      code_challenge_method: "S256",
      ...resourceOf(server),
    }),
  );
  // What an issuer answers goes to a terminal: without its control characters.
  io.stderr.write(
    plain(
      `Open this page in any browser:\n  ${begun.verification_uri}\nand give it the code:\n  ${begun.user_code}\nWaiting …\n`,
    ),
  );
  return tokensOf(
    io,
    await told(server.issuer, io, () =>
      approved(io, issuer, begun, { code_verifier: verifier, ...resourceOf(server) }),
    ),
  );
}

async function approved(
  io: CliIo,
  { oauth, config }: Issuer,
  begun: DeviceAuthorizationResponse,
  more: Readonly<Record<string, string>>,
): Promise<TokenEndpointResponse> {
  const until = io.clock.monotonicMs() + begun.expires_in * 1_000;
  let waitS = begun.interval ?? INTERVAL_S;
  while (io.clock.monotonicMs() < until) {
    await io.clock.sleep(waitS * 1_000, io.interrupted);
    try {
      return await oauth.genericGrantRequest(config, "urn:ietf:params:oauth:grant-type:device_code", {
        device_code: begun.device_code,
        ...more,
      });
    } catch (error) {
      const code = errorCode(error);
      if (code === "slow_down") waitS += SLOWER_S;
      else if (code !== "authorization_pending") throw error;
    }
  }
  throw new StatusError({
    code: "DEADLINE_EXCEEDED",
    reason: "DEADLINE",
    message: "The code has expired before it was used. Begin again with `slipway login --device`.",
  });
}
