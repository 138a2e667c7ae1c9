/** The wire of identity: convert in, decide by access.ts, call one verb, convert out. */
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  AdminIdentityService,
  CreateAccessTokenResponseSchema,
  CreateUserResponseSchema,
  DisableUserResponseSchema,
  EnableUserResponseSchema,
  ListAccessTokensResponseSchema,
  RevokeAccessTokenResponseSchema,
} from "../../gen/slipway/identity/v1/admin_identity_service_pb.js";
import {
  AdminUserService,
  ChangeUserRoleResponseSchema,
  ListUsersResponseSchema,
} from "../../gen/tensormesh/user/v1/admin_user_service_pb.js";
import {
  CreateUserApiKeyResponseSchema,
  DeleteUserApiKeyResponseSchema,
  GetAuthProfileResponseSchema,
  GetUserProfileResponseSchema,
  ListUserApiKeysResponseSchema,
  UserService,
} from "../../gen/tensormesh/user/v1/user_service_pb.js";
import { parsePage } from "../base/page.ts";
import { requireAbilityRightsOver, requireAppointment, requireTokenRightsOver } from "./access.ts";
import { changeRole, setUserDisabled } from "./change-role.ts";
import { accessTokenToWire, apiKeyToWire, dateFromWire, roleFromWire, userToWire } from "./convert.ts";
import { createAccessToken } from "./create-access-token.ts";
import { createApiKey } from "./create-api-key.ts";
import { createUser } from "./create-user.ts";
import { deleteApiKey } from "./delete-api-key.ts";
import { answeredOnce, callCtx, type RoutesDeps } from "./edge.ts";
import { getUser, getUserProfile } from "./find-user.ts";
import { listAccessTokens, tokenQuery } from "./list-access-tokens.ts";
import { listApiKeys } from "./list-api-keys.ts";
import { listUsers } from "./list-users.ts";
import { getAccessToken, revokeAccessToken } from "./revoke-access-token.ts";

/** Registers UserService, AdminUserService and AdminIdentityService. */
export function identityRoutes(deps: RoutesDeps): (router: ConnectRouter) => void {
  return (router) => {
    router.service(UserService, userService(deps));
    router.service(AdminUserService, adminUserService(deps));
    router.service(AdminIdentityService, adminIdentityService(deps));
  };
}

function userService(deps: RoutesDeps): ServiceImpl<typeof UserService> {
  return {
    async getAuthProfile(_request, context) {
      const user = await getUser(callCtx(deps, context), deps.edge.principalOf(context).userId);
      return create(GetAuthProfileResponseSchema, { user: userToWire(user) });
    },
    async getUserProfile(request, context) {
      const user = await getUserProfile(callCtx(deps, context), deps.edge.principalOf(context), request);
      return create(GetUserProfileResponseSchema, { user: userToWire(user) });
    },
    createUserApiKey(request, context) {
      const input = {
        userId: deps.edge.ownerOf(context),
        name: request.name ?? "",
        scopes: request.scopes,
        expiresAt: dateFromWire(request.expiresAt),
      };
      return answeredOnce(deps, context, CreateUserApiKeyResponseSchema, async (tx) => {
        const { apiKey, secret } = await createApiKey(tx, input);
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
    async deleteUserApiKey(request, context) {
      const principal = deps.edge.principalOf(context);
      await deleteApiKey(callCtx(deps, context), { principal, keyId: request.apiKeyId });
      return create(DeleteUserApiKeyResponseSchema, { empty: create(EmptySchema) });
    },
  };
}

function adminUserService(deps: RoutesDeps): ServiceImpl<typeof AdminUserService> {
  return {
    async listUsers(request, context) {
      const page = await listUsers(callCtx(deps, context), request);
      return create(ListUsersResponseSchema, { ...page, users: page.users.map(userToWire) });
    },
    async changeUserRole(request, context) {
      const user = await changeRole(callCtx(deps, context), {
        userId: request.targetUserId.toLowerCase(),
        role: roleFromWire(request.targetUserRole),
      });
      return create(ChangeUserRoleResponseSchema, { user: userToWire(user) });
    },
  };
}

function adminIdentityService(deps: RoutesDeps): ServiceImpl<typeof AdminIdentityService> {
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
  deps: RoutesDeps,
  context: HandlerContext,
  targetUserId: string,
  disabled: boolean,
) {
  const ctx = callCtx(deps, context);
  const target = await getUser(ctx, targetUserId.toLowerCase());
  requireAbilityRightsOver(deps.edge.principalOf(context), target);
  return userToWire(await setUserDisabled(ctx, { userId: target.id, disabled }));
}
