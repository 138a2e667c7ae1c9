/** What a person is asked while a client waits: who they are, and whether the client may act as them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { StatusError } from "../base/status.ts";
import { getUser, logIn } from "../identity/index.ts";
import { csrfToken, readForm, requireCsrfToken, requireOwnOrigin } from "./forms.ts";
import { consentPage, loginPage } from "./pages/account-pages.ts";
import { sendPage, type Web } from "./web.ts";
import { MOUNTED_AT } from "./where.ts";

type Interaction = Awaited<ReturnType<Web["provider"]["interactionDetails"]>>;

export interface Step {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly address: string;
}

/** Shows what is to be answered next. */
export async function showInteraction(web: Web, step: Step): Promise<void> {
  const interaction = await web.provider.interactionDetails(step.request, step.response);
  const form = formOf(web, interaction);
  if (interaction.prompt.name === "login")
    return sendPage(step.response, 200, loginPage({ ...form, login: "" }));
  const user = await getUser(web.ctx, interaction.session?.accountId ?? "");
  const client = await web.provider.Client.find(String(interaction.params.client_id));
  const name = user.email || user.displayName || user.id;
  const clientName = client?.clientName ?? "A program";
  sendPage(step.response, 200, consentPage({ ...form, clientName, name, publicUrl: web.publicUrl }));
}

/** Takes an answer: `login`, `consent` or `abort`. Throws NOT_ALLOWED for a form that is none of ours. */
export async function answerInteraction(web: Web, step: Step, action: string): Promise<void> {
  requireOwnOrigin(step.request, web.publicUrl);
  const interaction = await web.provider.interactionDetails(step.request, step.response);
  const form = await readForm(step.request);
  requireCsrfToken(web.box, interaction.jti, form);
  if (action === "abort")
    return finish(web, step, { error: "access_denied", error_description: "cancelled by the user" });
  if (action === "login" && interaction.prompt.name === "login")
    return answerLogin(web, step, interaction, form);
  if (action === "consent" && interaction.prompt.name === "consent")
    return answerConsent(web, step, interaction);
  // An old page, sent again by the browser's back button: show what is asked now.
  return showInteraction(web, step);
}

async function answerLogin(
  web: Web,
  step: Step,
  interaction: Interaction,
  form: URLSearchParams,
): Promise<void> {
  const login = form.get("login") ?? "";
  try {
    const user = await logIn(web.ctx, { login, password: form.get("password") ?? "", address: step.address });
    return await finish(web, step, { login: { accountId: user.id, remember: false, amr: ["pwd"] } });
  } catch (error) {
    const told = StatusError.from(error);
    if (told.reason === "INTERNAL") throw error;
    const status = told.reason === "RATE_LIMITED" ? 429 : 401;
    if (told.retryAfterMs !== undefined) {
      step.response.setHeader("retry-after", Math.ceil(told.retryAfterMs / 1_000));
    }
    const again = loginPage({ ...formOf(web, interaction), login, problem: told.message });
    return sendPage(step.response, status, again);
  }
}

async function answerConsent(web: Web, step: Step, interaction: Interaction): Promise<void> {
  const { provider } = web;
  const accountId = interaction.session?.accountId;
  const clientId = String(interaction.params.client_id);
  const known =
    interaction.grantId === undefined ? undefined : await provider.Grant.find(interaction.grantId);
  const grant = known ?? new provider.Grant({ clientId, ...(accountId === undefined ? {} : { accountId }) });
  const missing = missingOf(interaction.prompt.details);
  if (missing.scopes.length > 0) grant.addOIDCScope(missing.scopes.join(" "));
  for (const [resource, scopes] of missing.resourceScopes) grant.addResourceScope(resource, scopes.join(" "));
  await finish(web, step, { consent: { grantId: await grant.save() } }, true);
}

function finish(
  { provider }: Web,
  { request, response }: Step,
  result: Parameters<Web["provider"]["interactionFinished"]>[2],
  merge = false,
): Promise<void> {
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: merge });
}

function formOf({ box }: Web, interaction: Interaction): { action: string; csrf: string } {
  return { action: `${MOUNTED_AT}/interaction/${interaction.uid}`, csrf: csrfToken(box, interaction.jti) };
}

/** What the library found that the user has not agreed to yet. */
function missingOf(details: Interaction["prompt"]["details"]): {
  readonly scopes: readonly string[];
  readonly resourceScopes: readonly (readonly [string, readonly string[]])[];
} {
  const { missingOIDCScope: scopes, missingResourceScopes: resources } = details;
  return {
    scopes: texts(scopes),
    resourceScopes:
      typeof resources === "object" && resources !== null
        ? Object.entries(resources).map(([resource, all]) => [resource, texts(all)] as const)
        : [],
  };
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
