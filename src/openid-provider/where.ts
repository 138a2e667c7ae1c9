/** The path below which the provider serves. */
export const MOUNTED_AT = "/oidc";

/** The issuer of a control plane that is reached at `publicUrl` (an origin, without a slash at its end). */
export function issuerAt(publicUrl: string): string {
  return `${publicUrl}${MOUNTED_AT}`;
}

/** Where passwords are set. */
export function passwordPageAt(publicUrl: string): string {
  return `${publicUrl}${MOUNTED_AT}/password`;
}
