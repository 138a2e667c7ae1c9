export { createOidcAuthenticate, type OidcAuthenticate, type OidcDeps } from "./authenticate.ts";
export { fetchIssuerKeys } from "./fetch-issuer-keys.ts";
export { type IssuerKeys, issuerKeys } from "./issuer-keys.ts";
export { SIGNING_ALGORITHMS } from "./signing-algorithms.ts";
export { localUser, usersOfIssuer } from "./users-of-tokens.ts";
export { looksLikeJwt, type TokenRules, type VerifiedToken, verifyToken } from "./verify-token.ts";
