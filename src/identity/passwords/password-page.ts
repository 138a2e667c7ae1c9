import { StatusError } from "../../base/status.ts";

/** The address of the page where passwords are set, or why there is none. */
export type PasswordPage = () => Promise<{ readonly url: string } | { readonly absentBecause: string }>;

/** Throws LOGIN_UNAVAILABLE where nobody sets passwords. */
export async function passwordPageUrl(page: PasswordPage | undefined): Promise<string> {
  const found = (await page?.()) ?? { absentBecause: "This installation has no page to log in at." };
  if ("url" in found) return found.url;
  throw new StatusError({
    code: "FAILED_PRECONDITION",
    reason: "LOGIN_UNAVAILABLE",
    message: found.absentBecause,
  });
}
