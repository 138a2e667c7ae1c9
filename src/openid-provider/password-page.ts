import { HTTP_STATUS, StatusError } from "../base/status.ts";
import { setPassword } from "../identity/index.ts";
import { endSessions } from "./end-sessions.ts";
import { readForm, requireOwnOrigin } from "./forms.ts";
import type { Step } from "./interactions.ts";
import { passwordDonePage, passwordPage } from "./pages/account-pages.ts";
import { sendPage, type Web } from "./web.ts";
import { MOUNTED_AT } from "./where.ts";

const ACTION = `${MOUNTED_AT}/password`;

/** Asks for the code and a new password. The code is typed, not part of the address: addresses end up in logs and histories. */
export function showPasswordPage({ response }: Step): void {
  sendPage(response, 200, passwordPage({ action: ACTION, code: "" }));
}

/** Sets the password, or tells why not. */
export async function answerPasswordPage(web: Web, { request, response, address }: Step): Promise<void> {
  requireOwnOrigin(request, web.publicUrl);
  const form = await readForm(request);
  const code = form.get("code") ?? "";
  const password = form.get("password") ?? "";
  const again = (status: number, problem: string) =>
    sendPage(response, status, passwordPage({ action: ACTION, code, problem }));
  if (password !== form.get("again")) return again(400, "The two passwords differ.");
  try {
    await setPassword(web.ctx, { code, password, address, endSessions });
    sendPage(response, 200, passwordDonePage(web.publicUrl));
  } catch (error) {
    const told = StatusError.from(error);
    if (told.reason === "INTERNAL") throw error;
    again(HTTP_STATUS[told.code], told.message);
  }
}
