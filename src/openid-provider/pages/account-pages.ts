/** Pages of people's own: logging in, consenting, setting a password. */
import { html } from "./html.ts";
import { page, problem } from "./layout.ts";

export interface LoginForm {
  readonly action: string;
  readonly csrf: string;
  /** What was typed before. */
  readonly login: string;
  readonly problem?: string | undefined;
}

export function loginPage(form: LoginForm): string {
  return page(
    "Log in",
    html`${problem(form.problem)}
<form method="post" action="${form.action}/login">
<input type="hidden" name="csrf" value="${form.csrf}">
<label for="login">E-mail address</label>
<input id="login" name="login" type="email" autocomplete="username" maxlength="320" value="${form.login}" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="200" required>
<button class="primary" type="submit">Log in</button>
</form>
<form method="post" action="${form.action}/abort">
<input type="hidden" name="csrf" value="${form.csrf}">
<button type="submit">Cancel</button>
</form>
<p class="note">No account, or the password is forgotten? An administrator sends you a code to set one.</p>`,
  );
}

export interface ConsentForm {
  readonly action: string;
  readonly csrf: string;
  readonly clientName: string;
  /** Who is logged in. */
  readonly name: string;
  /** What would be opened. */
  readonly publicUrl: string;
}

export function consentPage(form: ConsentForm): string {
  return page(
    "Let it act as you?",
    html`<p><strong>${form.clientName}</strong> asks to act as <strong>${form.name}</strong> at ${form.publicUrl}: to deploy and delete models, and to spend money, until you log it out.</p>
<p>Go on only if you began this yourself.</p>
<form method="post" action="${form.action}/consent">
<input type="hidden" name="csrf" value="${form.csrf}">
<button class="primary" type="submit">Allow</button>
</form>
<form method="post" action="${form.action}/abort">
<input type="hidden" name="csrf" value="${form.csrf}">
<button type="submit">Cancel</button>
</form>`,
  );
}

export interface PasswordForm {
  readonly action: string;
  readonly code: string;
  readonly problem?: string | undefined;
}

export function passwordPage(form: PasswordForm): string {
  return page(
    "Set your password",
    html`${problem(form.problem)}
<form method="post" action="${form.action}">
<label for="code">The code that you were sent</label>
<input id="code" name="code" autocomplete="one-time-code" spellcheck="false" maxlength="100" value="${form.code}" required autofocus>
<label for="password">New password, 12 characters or more</label>
<input id="password" name="password" type="password" autocomplete="new-password" maxlength="200" required>
<label for="again">Once more</label>
<input id="again" name="again" type="password" autocomplete="new-password" maxlength="200" required>
<button class="primary" type="submit">Set it</button>
</form>`,
  );
}

export function passwordDonePage(publicUrl: string): string {
  return page(
    "Your password is set",
    html`<p>Log in from a terminal:</p>
<p><strong>slipway login --api-url ${publicUrl}</strong></p>
<p class="note">Logins that used the old password have ended.</p>`,
  );
}
