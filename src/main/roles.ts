/** The roles that one program can play, together or apart. */
export const ROLES = ["api", "gateway", "worker"] as const;
export type RoleName = (typeof ROLES)[number];
