export { acceptTos } from "./accept-tos.ts";
export {
  atLeast,
  mayReach,
  notAllowed,
  ownerOf,
  requireCaller,
  requireRole,
  requireScope,
  TOKEN_SCOPES,
} from "./access.ts";
export { authenticate, principalThrough } from "./authenticate.ts";
export { bootstrapAdmin } from "./bootstrap-admin.ts";
export { changeRole, setUserDisabled } from "./change-role.ts";
export { createAccessToken, type NewAccessToken } from "./create-access-token.ts";
export { createApiKey, type NewApiKey } from "./create-api-key.ts";
export { createUser, type NewUser } from "./create-user.ts";
export { ACCESS_TOKEN_PREFIX, INFERENCE_KEY_PREFIX } from "./credential.ts";
export { deleteApiKey } from "./delete-api-key.ts";
export {
  answeredOnce,
  callCtx,
  type Edge,
  type IdempotentAnswer,
  type RoutesDeps,
} from "./edge.ts";
export { disabledAmong, findInferenceKey, inferenceKeyHash, noteKeyUses } from "./find-inference-key.ts";
export { findUser, getUser, getUserProfile, platformUser, requireUsers } from "./find-user.ts";
export { listAccessTokens } from "./list-access-tokens.ts";
export { listApiKeys } from "./list-api-keys.ts";
export { listUsers, type UserPage } from "./list-users.ts";
export type { AccessToken, ApiKey, InferenceKey, Principal, Role, User } from "./model.ts";
export { LOCAL_ISSUER } from "./model.ts";
export { inviteUser, type NewInvitation } from "./passwords/invite-user.ts";
export { logIn } from "./passwords/log-in.ts";
export { takeLoginBeginning } from "./passwords/login-throttle.ts";
export type { PasswordPage } from "./passwords/password-page.ts";
export { purgeLogins } from "./passwords/purge-logins.ts";
export { setPassword } from "./passwords/set-password.ts";
export { revokeAccessToken } from "./revoke-access-token.ts";
export { rotateApiKey } from "./rotate-api-key.ts";
export { type IdentityRoutesDeps, identityRoutes } from "./rpc.ts";
export { type SignIn, signIn } from "./sign-in.ts";
export { requireTerms, type Terms, termsProblem } from "./terms.ts";
export { updateProfile } from "./update-profile.ts";
