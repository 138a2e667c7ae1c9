import type { ClientMetadata } from "oidc-provider";

export const CLI_CLIENT_ID = "slipway-cli";
/** `offline_access` is what lets the command line refresh by itself. */
export const CLI_SCOPES = ["openid", "offline_access"] as const;
export const SIGNING_ALGORITHM = "ES256";

/** Every client there is. A native one may be sent back to any port of loopback (RFC 8252, section 7.3). */
export const CLIENTS: readonly ClientMetadata[] = [
  {
    client_id: CLI_CLIENT_ID,
    client_name: "Slipway command line",
    application_type: "native",
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    response_types: ["code"],
    redirect_uris: ["http://127.0.0.1/callback"],
    id_token_signed_response_alg: SIGNING_ALGORITHM,
  },
];
