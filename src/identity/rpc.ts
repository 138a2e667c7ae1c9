/** The wire of identity: convert in, decide by access.ts, call one verb, convert out. */
import { create } from "@bufbuild/protobuf";
import { EmptySchema, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { BudgetLimit } from "../../gen/slipway/billing/v1/budget_service_pb.js";
import {
  AdminIdentityService,
  CreateAccessTokenResponseSchema,
  CreateUserResponseSchema,
  DisableUserResponseSchema,
  EnableUserResponseSchema,
  InviteUserResponseSchema,
  ListAccessTokensResponseSchema,
  RevokeAccessTokenResponseSchema,
} from "../../gen/slipway/identity/v1/admin_identity_service_pb.js";
import {
  AdminUserService,
  ChangeUserRoleResponseSchema,
  ListUsersResponseSchema,
} from "../../gen/tensormesh/user/v1/admin_user_service_pb.js";
import type { User as WireUser } from "../../gen/tensormesh/user/v1/user_pb.js";
import {
  AcceptTosResponseSchema,
  CreateUserApiKeyResponseSchema,
  DeleteUserApiKeyResponseSchema,
  GetAuthProfileResponseSchema,
  GetUserProfileResponseSchema,
  ListUserApiKeysResponseSchema,
  RotateUserApiKeyResponseSchema,
  UpdateUserProfileResponseSchema,
  UserService,
} from "../../gen/tensormesh/user/v1/user_service_pb.js";
import { parsePage } from "../base/page.ts";
import type { DbCtx, TxCtx } from "../db/db.ts";
import { acceptTos } from "./accept-tos.ts";
import { requireAbilityRightsOver, requireAppointment, requireTokenRightsOver } from "./access.ts";
import { changeRole, setUserDisabled } from "./change-role.ts";
import {
  accessTokenToWire,
  apiKeyToWire,
  dateFromWire,
  roleFromWire,
  termsToWire,
  userToWire,
} from "./convert.ts";
import { createAccessToken } from "./create-access-token.ts";
import { createApiKey } from "./create-api-key.ts";
import { createUser } from "./create-user.ts";
import { deleteApiKey } from "./delete-api-key.ts";
import { answeredOnce, callCtx, type RoutesDeps } from "./edge.ts";
import { getUser, getUserProfile } from "./find-user.ts";
import { listAccessTokens, tokenQuery } from "./list-access-tokens.ts";
import { listApiKeys } from "./list-api-keys.ts";
import { listUsers } from "./list-users.ts";
import type { User } from "./model.ts";
import { inviteUser } from "./passwords/invite-user.ts";
import { type PasswordPage, passwordPageUrl } from "./passwords/password-page.ts";
import { getAccessToken, revokeAccessToken } from "./revoke-access-token.ts";
import { rotateApiKey } from "./rotate-api-key.ts";
import { requireTerms, type Terms } from "./terms.ts";
import { updateProfile } from "./update-profile.ts";

export interface IdentityRoutesDeps extends RoutesDeps {
  /** What users accept before they make keys; undefined where the operator configured no terms. */
  readonly terms?: Terms | undefined;
  /** Where users set their passwords; absent where none do. */
  readonly passwordPage?: PasswordPage;
  /** Sets what a key that was just made may cost. Identity knows no money, but a key must not open a request before its budget stands. */
  readonly setKeyBudgets?: (
    tx: TxCtx,
    key: { readonly userId: string; readonly keyId: string },
    budgets: readonly BudgetLimit[],
  ) => Promise<void>;
  /** What the payment processor calls these users, of those whom it knows. Identity knows no money, profiles show it. */
  readonly customerIds?: (ctx: DbCtx, userIds: readonly string[]) => Promise<ReadonlyMap<string, string>>;
}

/** Registers UserService, AdminUserService and AdminIdentityService. */
export function identityRoutes(deps: IdentityRoutesDeps): (router: ConnectRouter) => void {
  return (router) => {
    router.service(UserService, userService(deps));
    router.service(AdminUserService, adminUserService(deps));
    router.service(AdminIdentityService, adminIdentityService(deps));
  };
}

function userService(deps: IdentityRoutesDeps): ServiceImpl<typeof UserService> {
  return {
    async getAuthProfile(_request, context) {
      const ctx = callCtx(deps, context);
      const user = await getUser(ctx, deps.edge.principalOf(context).userId);
      const terms = termsToWire(deps.terms, user);
      const wire = await userOf(deps, ctx, user);
      return create(GetAuthProfileResponseSchema, { user: wire, ...(terms && { terms }) });
    },
    async getUserProfile(request, context) {
      const { userEmail } = request;
      const byEmailAlone = userEmail !== "" && request.userId === "";
      const input = { userId: byEmailAlone ? "" : deps.edge.ownerOf(context), userEmail };
      const ctx = callCtx(deps, context);
      const user = await getUserProfile(ctx, deps.edge.principalOf(context), input);
      return create(GetUserProfileResponseSchema, { user: await userOf(deps, ctx, user) });
    },
    async updateUserProfile(request, context) {
      const { firstName, lastName, displayName, company } = request;
      const principal = deps.edge.principalOf(context);
      const userId = deps.edge.ownerOf(context);
      const change = { principal, userId, firstName, lastName, displayName, company };
      await updateProfile(callCtx(deps, context), change);
      return create(UpdateUserProfileResponseSchema, { empty: create(EmptySchema) });
    },
    async acceptTos(request, context) {
      const userId = deps.edge.ownerOf(context);
      const acceptance = { userId, terms: deps.terms, version: request.version };
      const ctx = callCtx(deps, context);
      const user = await userOf(deps, ctx, await acceptTos(ctx, acceptance));
      return create(AcceptTosResponseSchema, { user });
    },
    createUserApiKey(request, context) {
      const input = {
        userId: deps.edge.ownerOf(context),
        name: request.name ?? "",
        scopes: request.scopes,
        expiresAt: dateFromWire(request.expiresAt),
      };
      return answeredOnce(deps, context, CreateUserApiKeyResponseSchema, async (tx) => {
        await requireTerms(tx, deps.terms, input.userId);
        const { apiKey, secret } = await createApiKey(tx, input);
        const { userId, id: keyId } = apiKey;
        await deps.setKeyBudgets?.(tx, { userId, keyId }, request.budgets);
        return create(CreateUserApiKeyResponseSchema, { apiKey: apiKeyToWire(apiKey, secret) });
      });
    },
    async listUserApiKeys(request, context) {
      const userId = deps.edge.ownerOf(context);
      const ctx = callCtx(deps, context);
      await getUser(ctx, userId);
      const keys = await listApiKeys(ctx, { userId, includeDeleted: request.includeDeleted });
      return create(ListUserApiKeysResponseSchema, { apiKeys: keys.map((key) => apiKeyToWire(key)) });
    },
    rotateUserApiKey(request, context) {
      const input = {
        principal: deps.edge.principalOf(context),
        keyId: request.apiKeyId,
        graceMs: request.graceSeconds * 1_000,
      };
      return answeredOnce(deps, context, RotateUserApiKeyResponseSchema, async (tx) => {
        const { apiKey, secret } = await rotateApiKey(tx, input);
        return create(RotateUserApiKeyResponseSchema, { apiKey: apiKeyToWire(apiKey, secret) });
      });
    },
    async deleteUserApiKey(request, context) {
      const principal = deps.edge.principalOf(context);
      await deleteApiKey(callCtx(deps, context), { principal, keyId: request.apiKeyId });
      return create(DeleteUserApiKeyResponseSchema, { empty: create(EmptySchema) });
    },
  };
}

function adminUserService(deps: IdentityRoutesDeps): ServiceImpl<typeof AdminUserService> {
  return {
    async listUsers(request, context) {
      const ctx = callCtx(deps, context);
      const page = await listUsers(ctx, request);
      return create(ListUsersResponseSchema, { ...page, users: await usersOf(deps, ctx, page.users) });
    },
    async changeUserRole(request, context) {
      const ctx = callCtx(deps, context);
      const user = await changeRole(ctx, {
        userId: request.targetUserId.toLowerCase(),
        role: roleFromWire(request.targetUserRole),
      });
      return create(ChangeUserRoleResponseSchema, { user: await userOf(deps, ctx, user) });
    },
  };
}

function adminIdentityService(deps: IdentityRoutesDeps): ServiceImpl<typeof AdminIdentityService> {
  return {
    createUser(request, context) {
      const role = roleFromWire(request.userRole);
      requireAppointment(deps.edge.principalOf(context), role);
      return answeredOnce(deps, context, CreateUserResponseSchema, async (tx) => {
        const user = await createUser(tx, { ...request, role, email: request.userEmail });
        return create(CreateUserResponseSchema, { user: userToWire(user) });
      });
    },
    async disableUser(request, context) {
      const user = await setDisabled(deps, context, request.targetUserId, true);
      return create(DisableUserResponseSchema, { user });
    },
    async enableUser(request, context) {
      const user = await setDisabled(deps, context, request.targetUserId, false);
      return create(EnableUserResponseSchema, { user });
    },
    async inviteUser(request, context) {
      const principal = deps.edge.principalOf(context);
      const passwordUrl = await passwordPageUrl(deps.passwordPage);
      return answeredOnce(deps, context, InviteUserResponseSchema, async (tx) => {
        const target = await getUser(tx, request.targetUserId.toLowerCase());
        // Whoever has the code becomes the user, as with a token.
        requireTokenRightsOver(principal, target);
        const { user, login, code, expiresAt } = await inviteUser(tx, { userId: target.id });
        return create(InviteUserResponseSchema, {
          user: userToWire(user),
          login,
          passwordUrl,
          code,
          expiresAt: timestampFromDate(expiresAt),
        });
      });
    },
    createAccessToken(request, context) {
      const userId = deps.edge.ownerOf(context);
      return answeredOnce(deps, context, CreateAccessTokenResponseSchema, async (tx) => {
        const user = await getUser(tx, userId);
        requireTokenRightsOver(deps.edge.principalOf(context), user);
        const expiresAt = dateFromWire(request.expiresAt);
        const { name, scopes } = request;
        const made = await createAccessToken(tx, { userId: user.id, name, scopes, expiresAt });
        return create(CreateAccessTokenResponseSchema, {
          accessToken: accessTokenToWire(made.accessToken),
          secret: made.token,
        });
      });
    },
    async listAccessTokens(request, context) {
      const input = { userId: request.userId.toLowerCase(), includeRevoked: request.includeRevoked };
      const page = parsePage(request, tokenQuery(input));
      const { tokens, nextPageToken } = await listAccessTokens(callCtx(deps, context), { ...input, page });
      return create(ListAccessTokensResponseSchema, {
        accessTokens: tokens.map(accessTokenToWire),
        nextPageToken,
      });
    },
    async revokeAccessToken(request, context) {
      const ctx = callCtx(deps, context);
      const token = await getAccessToken(ctx, request.accessTokenId);
      requireTokenRightsOver(deps.edge.principalOf(context), await getUser(ctx, token.userId));
      await revokeAccessToken(ctx, { tokenId: token.id });
      return create(RevokeAccessTokenResponseSchema, { empty: create(EmptySchema) });
    },
  };
}

async function setDisabled(
  deps: IdentityRoutesDeps,
  context: HandlerContext,
  targetUserId: string,
  disabled: boolean,
) {
  const ctx = callCtx(deps, context);
  const target = await getUser(ctx, targetUserId.toLowerCase());
  requireAbilityRightsOver(deps.edge.principalOf(context), target);
  return userOf(deps, ctx, await setUserDisabled(ctx, { userId: target.id, disabled }));
}

async function userOf(deps: IdentityRoutesDeps, ctx: DbCtx, user: User): Promise<WireUser> {
  const ids = await deps.customerIds?.(ctx, [user.id]);
  return userToWire(user, ids?.get(user.id));
}

async function usersOf(deps: IdentityRoutesDeps, ctx: DbCtx, users: readonly User[]): Promise<WireUser[]> {
  const ids = await deps.customerIds?.(
    ctx,
    users.map(({ id }) => id),
  );
  return users.map((user) => userToWire(user, ids?.get(user.id)));
}
