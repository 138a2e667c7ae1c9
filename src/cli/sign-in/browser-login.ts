import type { CliIo } from "../io.ts";
import { listenForCallback } from "./callback.ts";
import type { LoginServer } from "./login-server.ts";
import { issuerOf, resourceOf, type Tokens, tokensOf, told } from "./oauth.ts";

/** Logs in by this machine's browser (authorization code with PKCE, RFC 8252). Undefined where there is no browser. */
export async function browserLogin(io: CliIo, server: LoginServer): Promise<Tokens | undefined> {
  const { oauth, config } = await issuerOf(io, server);
  const verifier = oauth.randomPKCECodeVerifier();
  const state = oauth.randomState();
  const callback = await listenForCallback(io, state);
  try {
    const url = oauth.buildAuthorizationUrl(config, {
      redirect_uri: callback.redirectUri,
      scope: server.scopes.join(" "),
      // What gives refresh tokens asks each time (OpenID Connect Core 1.0, section 11).
      prompt: "consent",
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state,
      ...resourceOf(server),
    });
    if (!(await io.openBrowser(url.href))) return undefined;
    io.stderr.write(
      `Log in in the browser. If no page opened, open this one on this machine:\n${url.href}\n`,
    );
    const back = await callback.wait();
    const answer = await told(server.issuer, io, () =>
      oauth.authorizationCodeGrant(
        config,
        back,
        { pkceCodeVerifier: verifier, expectedState: state },
        resourceOf(server),
      ),
    );
    return tokensOf(io, answer);
  } finally {
    callback.close();
  }
}
