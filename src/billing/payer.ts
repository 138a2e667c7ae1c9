/** Whose money: the caller's, or to administrators another user's, who must exist. */
export { existingOwnerOf as payerOf } from "../identity/index.ts";
