export { CLI_CLIENT_ID, CLI_SCOPES } from "./clients.ts";
export { endSessions } from "./end-sessions.ts";
export { createOpenIdProvider, type OpenIdProvider, type OpenIdProviderDeps } from "./openid-provider.ts";
export { purgeLoginState } from "./purge.ts";
