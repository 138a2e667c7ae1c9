/** Pages that the protocol shows by itself: device codes, and what it could not do. */
import { html } from "./html.ts";
import { page, problem } from "./layout.ts";

interface Form {
  readonly action: string;
  readonly xsrf: string;
}

/** Asks for the code that a device shows. */
export function deviceCodePage({ action, xsrf }: Form, error: Error | undefined): string {
  return page(
    "Log a device in",
    html`${problem(error && deviceProblem(error))}
<form method="post" action="${action}">
<input type="hidden" name="xsrf" value="${xsrf}">
<label for="user_code">The code that the device shows</label>
<input id="user_code" name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="20" required autofocus>
<button class="primary" type="submit">Continue</button>
</form>`,
  );
}

/** Asks whether it is the user's own device. */
export function deviceConfirmPage({ action, xsrf }: Form, userCode: string): string {
  return page(
    "Is this your device?",
    html`<p>It must show this code now:</p>
<p><code>${userCode}</code></p>
<p>If somebody sent you this code, or you did not just run <strong>slipway login</strong> yourself, cancel: going on would let them in as you.</p>
<form method="post" action="${action}">
<input type="hidden" name="xsrf" value="${xsrf}">
<input type="hidden" name="user_code" value="${userCode}">
<button class="primary" type="submit" name="confirm" value="yes">It shows this code</button>
<button type="submit" name="abort" value="yes">Cancel</button>
</form>`,
  );
}

export function deviceDonePage(): string {
  return page("The device is logged in", html`<p>You can close this page and go on at the device.</p>`);
}

/** What the protocol refused. */
export function errorPage(code: string, description: string): string {
  return page(
    "This did not work",
    html`${problem(description === "" ? code : description)}
<p>Begin again with <strong>slipway login</strong>. A page that was left open for long, or opened in another browser, can't go on.</p>
<p class="note">${code}</p>`,
  );
}

function deviceProblem(error: Error): string {
  switch (error.name) {
    case "AbortedError":
      return "Cancelled. The device was not logged in.";
    case "ExpiredError":
      return "This code has expired. Begin again at the device.";
    case "AlreadyUsedError":
      return "This code was used already. Begin again at the device.";
    case "NotFoundError":
    case "NoCodeError":
      return "There is no such code. Look at the device and type it again.";
    default:
      return "This did not work. Type the code again.";
  }
}
